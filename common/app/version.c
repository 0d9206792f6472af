/* app/version.c - the only file that is built again for a new commit. */
#include "app/version.h"

#include "build_version.h"

#ifndef EMBERRING_REVISION
#define EMBERRING_REVISION "unknown"
#endif

const char *app_version(void)
{
    return EMBERRING_VERSION;
}

const char *app_revision(void)
{
    return EMBERRING_REVISION;
}
