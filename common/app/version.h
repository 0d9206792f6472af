/* app/version.h - which build this is. Any thread. */
#ifndef APP_VERSION_H
#define APP_VERSION_H

/* "0.1.0" and the short commit, "unknown" outside a checkout. Static. */
const char *app_version(void);
const char *app_revision(void);

#endif
