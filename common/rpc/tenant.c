/* rpc/tenant.c - reading X-Scope-OrgID. */
#include "rpc/tenant.h"

#include <string.h>

bool tenant_is_valid(struct str id)
{
    if (id.len == 0 || id.len > TENANT_ID_MAX || str_eq(id, STR(".")) || str_eq(id, STR("..")))
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char c = id.data[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!word && (c == '\0' || strchr("!-_.*'()", c) == NULL))
            return false;
    }
    return true;
}

int tenant_of_header(bool multi, struct str header, struct str *out, struct err *err)
{
    if (!multi) {
        *out = STR(TENANT_ANONYMOUS);
        return 0;
    }
    header = str_trim(header);
    if (header.len == 0)
        return err_set(err, ERR_DENIED, "no org id");
    struct str id = str_head(header, str_find(header, ':'));
    if (str_find(id, '|') != SIZE_MAX)
        return err_set(err, ERR_INVAL, "multiple org IDs present");
    if (id.len > TENANT_ID_MAX)
        return err_set(err, ERR_INVAL, "tenant ID is too long: max %d characters", TENANT_ID_MAX);
    if (!tenant_is_valid(id))
        return err_set(err, ERR_INVAL, "tenant ID '%.*s' is not valid",
                       STR_ARG(id));
    *out = id;
    return 0;
}
