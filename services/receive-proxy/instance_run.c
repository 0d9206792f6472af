/* receive-proxy/instance_run.c - the name of this instance, kept in a file as Alloy keeps it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/io.h"
#include "wire/json.h"
#include "write.h"

enum { PATH_MAX_ = 4200, FILE_MAX = 4096 };

static bool is_uuid(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        bool hex = (s.data[i] >= '0' && s.data[i] <= '9') || (s.data[i] >= 'a' && s.data[i] <= 'f');
        if (dash ? s.data[i] != '-' : !hex)
            return false;
    }
    return s.len == INSTANCE_ID_SIZE - 1;
}

/* A random one, version 4. */
static void make_uuid(char out[INSTANCE_ID_SIZE])
{
    uint8_t r[16];
    clock_entropy(r, sizeof r);
    r[6] = (uint8_t)((r[6] & 0x0f) | 0x40);
    r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
    for (size_t i = 0, at = 0; i < sizeof r; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            out[at++] = '-';
        snprintf(out + at, 3, "%02x", r[i]);
        at += 2;
    }
}

/* The value of "UID" in the file's JSON object. */
static bool find_uid(struct str text, char out[INSTANCE_ID_SIZE])
{
    static const char key[] = "\"UID\"";
    for (size_t i = 0; i + sizeof key < text.len; i++) {
        struct str rest = str_skip(text, i);
        if (!str_starts_with(rest, str_c(key)))
            continue;
        rest = str_skip(rest, sizeof key - 1);
        size_t open = str_find(rest, '"');
        struct str id = open == SIZE_MAX ? STR("") : str_skip(rest, open + 1);
        id = str_head(id, INSTANCE_ID_SIZE - 1);
        if (!is_uuid(id))
            return false;
        memcpy(out, id.data, id.len);
        out[id.len] = '\0';
        return true;
    }
    return false;
}

static int store(const struct store_io *io, const char *dir, const char *path, const char *id)
{
    char tmp[PATH_MAX_];
    struct buf text = {0};
    struct json j = json_to(&text);
    snprintf(tmp, sizeof tmp, "%s.tmp", path);
    json_begin_object(&j);
    json_key(&j, "UID");
    json_c(&j, id);
    json_end_object(&j);
    int rc = io->make_dir(io->self, dir);
    if (rc == 0)
        rc = text.error != 0 ? text.error : io_replace_file(io, dir, tmp, path, buf_view(&text));
    buf_reset(&text);
    return rc;
}

int instance_id_load(struct str dir, char out[INSTANCE_ID_SIZE], struct err *err)
{
    const struct store_io *io = store_io_posix();
    char path[PATH_MAX_ - 8], folder[PATH_MAX_ - 64];
    struct buf text = {0};
    make_uuid(out);
    if (dir.len == 0)
        return 0;
    if (dir.len >= sizeof folder)
        return err_set(err, ERR_IO, "the storage path is too long");
    snprintf(folder, sizeof folder, "%.*s", STR_ARG(dir));
    snprintf(path, sizeof path, "%s/alloy_seed.json", folder);
    int rc = io_read_file(io, path, FILE_MAX, &text);
    bool found = rc == 0 && find_uid(buf_view(&text), out);
    buf_reset(&text);
    if (!found)
        rc = store(io, folder, path, out);
    return rc == 0 ? 0 : err_set(err, ERR_IO, "%s: %s", path, err_text(rc));
}
