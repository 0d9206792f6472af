/* disco/config.h - the options of -dns.*: how names are looked up. Plain values, filled by conf. */
#ifndef DISCO_CONFIG_H
#define DISCO_CONFIG_H

#include <stdint.h>

#include "conf/conf.h"

struct disco_config {
    struct conf_list servers; /* empty: those of resolv.conf */
    uint32_t refresh_ms;
    uint32_t timeout_ms;
};

/* Rows for a conf section with prefix "dns." and path "dns". */
extern const struct conf_row disco_rows[];

/* The rules of the values; for struct conf_section. ERR_INVAL with a text. */
int disco_config_validate(const void *at, struct err *err);

#endif
