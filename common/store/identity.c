/* Codecs and files of a disk's identity. */
#include "store/identity_priv.h"

#include <stdio.h>

#include "store/wal.h"
#include "wire/uv.h"

enum { FILE_MAX = 64 << 20, RESERVE_BYTES = 1 << 20, PATH_BYTES = 4096, CRC_SIZE = 4 };

static const struct str magic_instance = STR_INIT("EMBRINST");
const struct str identity_magic_seen = STR_INIT("EMBRSEEN");
static const struct str magic_roster = STR_INIT("EMBRRSTR");

void identity_put_crc(struct buf *out, size_t from)
{
    if (out->error == 0)
        buf_u32le(out, store_crc(0, out->data + from, out->size - from));
}

int identity_open_file(struct str bytes, struct str magic, struct str *in)
{
    uint32_t crc;
    if (bytes.len < magic.len + CRC_SIZE || !str_starts_with(bytes, magic))
        return ERR_CORRUPT;
    struct str tail = str_skip(bytes, bytes.len - CRC_SIZE);
    (void)u32le_read(&tail, &crc);
    if (crc != store_crc(0, bytes.data, bytes.len - CRC_SIZE))
        return ERR_CORRUPT;
    *in = str_skip(str_head(bytes, bytes.len - CRC_SIZE), magic.len);
    return 0;
}

int identity_read_version(struct str *in)
{
    uint32_t version;
    if (u32le_read(in, &version) != 0)
        return ERR_CORRUPT;
    return version == IDENTITY_VERSION ? 0 : ERR_VERSION;
}

/* --- instance --------------------------------------------------------------------------------- */

void identity_encode(const struct identity *id, struct buf *out)
{
    size_t from = out->size;
    buf_str(out, magic_instance);
    buf_u32le(out, IDENTITY_VERSION);
    buf_put(out, id->disk, DISK_SIZE);
    buf_put(out, id->predecessor, DISK_SIZE);
    buf_u8(out, id->clean);
    buf_u8(out, id->stopped);
    buf_u64le(out, id->starts);
    uv_put_str(out, str_c(id->instance));
    uv_put_str(out, str_c(id->domain));
    buf_u32le(out, id->rf);
    buf_u8(out, id->zone_aware);
    identity_put_crc(out, from);
}

static int read_bool(struct str *in, bool *out)
{
    uint8_t v;
    if (u8_read(in, &v) != 0 || v > 1)
        return ERR_CORRUPT;
    *out = v == 1;
    return 0;
}

static int copy_name(struct str s, char out[IDENTITY_NAME_MAX + 1])
{
    if (s.len > IDENTITY_NAME_MAX || str_find(s, '\0') != SIZE_MAX)
        return ERR_LIMIT;
    if (s.len > 0)
        memcpy(out, s.data, s.len);
    out[s.len] = '\0';
    return 0;
}

static int read_name(struct str *in, char out[IDENTITY_NAME_MAX + 1])
{
    struct str s;
    return uv_read_str(in, &s) != 0 || copy_name(s, out) != 0 ? ERR_CORRUPT : 0;
}

int identity_decode(struct str bytes, struct identity *out)
{
    struct str in, disk, before;
    struct identity id = {0};
    int rc = identity_open_file(bytes, magic_instance, &in);
    if (rc == 0)
        rc = identity_read_version(&in);
    if (rc != 0)
        return rc;
    if (raw_read(&in, DISK_SIZE, &disk) != 0 || raw_read(&in, DISK_SIZE, &before) != 0 ||
        read_bool(&in, &id.clean) != 0 || read_bool(&in, &id.stopped) != 0 ||
        u64le_read(&in, &id.starts) != 0 || read_name(&in, id.instance) != 0 ||
        read_name(&in, id.domain) != 0 || u32le_read(&in, &id.rf) != 0 ||
        read_bool(&in, &id.zone_aware) != 0 || in.len != 0)
        return ERR_CORRUPT;
    memcpy(id.disk, disk.data, DISK_SIZE);
    memcpy(id.predecessor, before.data, DISK_SIZE);
    *out = id;
    return 0;
}

static int path_of(char out[PATH_BYTES], const char *dir, const char *name)
{
    int n = snprintf(out, PATH_BYTES, "%s/%s", dir, name);
    return n < 0 || n >= PATH_BYTES ? ERR_LIMIT : 0;
}

int identity_read_named(const struct store_io *io, const char *dir, const char *name,
                        struct buf *out)
{
    char path[PATH_BYTES];
    int rc = path_of(path, dir, name);
    return rc != 0 ? rc : io_read_file(io, path, FILE_MAX, out);
}

static int replace(const struct store_io *io, const char *dir, const char *name, struct str bytes)
{
    char path[PATH_BYTES], tmp[PATH_BYTES], tmp_dir[PATH_BYTES];
    int rc = path_of(path, dir, name);
    if (rc == 0)
        rc = path_of(tmp_dir, dir, "tmp");
    if (rc == 0)
        rc = path_of(tmp, tmp_dir, name);
    if (rc == 0)
        rc = io->make_dir(io->self, tmp_dir);
    return rc != 0 ? rc : io_replace_file(io, dir, tmp, path, bytes);
}

/* What must be written may take the room that was kept for it. */
int identity_replace(const struct store_io *io, const char *dir, const char *name,
                     const struct buf *b)
{
    if (b->error != 0)
        return b->error;
    int rc = replace(io, dir, name, buf_view(b));
    char reserve[PATH_BYTES];
    if (rc != ERR_NOSPC || path_of(reserve, dir, "reserve") != 0 ||
        io->unlink(io->self, reserve) != 0)
        return rc;
    return replace(io, dir, name, buf_view(b));
}

int identity_read(const struct store_io *io, const char *dir, struct identity *out)
{
    struct buf b = {0};
    int rc = identity_read_named(io, dir, "instance", &b);
    rc = rc == ERR_LIMIT ? ERR_CORRUPT : rc;
    if (rc == 0)
        rc = identity_decode(buf_view(&b), out);
    buf_reset(&b);
    return rc;
}

int identity_write(const struct store_io *io, const char *dir, const struct identity *id)
{
    struct buf b = {0};
    identity_encode(id, &b);
    int rc = identity_replace(io, dir, "instance", &b);
    buf_reset(&b);
    return rc;
}

int identity_lock(const struct store_io *io, const char *dir, struct store_file **out)
{
    char path[PATH_BYTES];
    int rc = path_of(path, dir, "lock");
    return rc != 0 ? rc : io->lock(io->self, path, out);
}

void identity_reserve(const struct store_io *io, const char *dir)
{
    char path[PATH_BYTES];
    struct store_file *f;
    if (path_of(path, dir, "reserve") != 0 || io->create(io->self, path, &f) != 0)
        return;
    int rc = io->reserve(io->self, f, RESERVE_BYTES);
    io->close(io->self, f);
    if (rc != 0)
        (void)io->unlink(io->self, path);
}

void identity_forget(struct identity *id, const uint8_t fresh[DISK_SIZE])
{
    memcpy(id->predecessor, id->disk, DISK_SIZE);
    memcpy(id->disk, fresh, DISK_SIZE);
    id->clean = false;
}

static int note_name(void *arg, const char *name)
{
    (void)name;
    *(bool *)arg = true;
    return 0;
}

/* Something is below `<dir>/log` or `<dir>/tenants`. */
static int holds_data(const struct store_io *io, const char *dir, bool *out)
{
    static const char *const folders[] = {"log", "tenants"};
    *out = false;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char path[PATH_BYTES];
        int rc = path_of(path, dir, folders[i]);
        if (rc == 0)
            rc = io->list(io->self, path, note_name, out);
        if (rc != 0 && rc != ERR_NOENT)
            return rc;
    }
    return 0;
}

/* Why an identity that was read (rc) does not stand; NULL when it does. */
static const char *doubt(int rc, int roster_rc, bool has_data, const struct identity *id,
                         struct str instance, struct str domain)
{
    if (rc == ERR_NOENT)
        return has_data ? "the instance file is missing" : "the data directory is new";
    if (rc != 0)
        return "the instance file is damaged";
    if (!str_eq(str_c(id->instance), instance))
        return "the instance id differs from the configured one";
    if (!str_eq(str_c(id->domain), domain))
        return "the failure domain differs from the configured one";
    if (has_data && roster_rc == ERR_NOENT)
        return "the roster file is missing";
    if (has_data && roster_rc != 0)
        return "the roster file is damaged";
    return NULL;
}

int identity_open(const struct store_io *io, const char *dir, struct str instance,
                  struct str domain, const uint8_t fresh[DISK_SIZE], struct identity *out,
                  const char **cause)
{
    struct identity id = {0};
    struct buf message = {0};
    bool has_data;
    int rc = holds_data(io, dir, &has_data);
    if (rc != 0)
        return rc;
    rc = identity_read(io, dir, &id);
    if (rc != 0 && rc != ERR_NOENT && rc != ERR_CORRUPT)
        return rc;
    int roster_rc = roster_read(io, dir, &message);
    buf_reset(&message);
    if (roster_rc != 0 && roster_rc != ERR_NOENT && roster_rc != ERR_CORRUPT)
        return roster_rc;
    *cause = doubt(rc, roster_rc, has_data, &id, instance, domain);
    if (*cause != NULL) {
        identity_forget(&id, fresh);
        rc = copy_name(instance, id.instance);
        if (rc == 0)
            rc = copy_name(domain, id.domain);
        if (rc != 0)
            return rc;
    }
    *out = id;
    return 0;
}

/* --- roster ----------------------------------------------------------------------------------- */

int roster_read(const struct store_io *io, const char *dir, struct buf *message)
{
    struct buf b = {0};
    struct str in;
    uint32_t length;
    int rc = identity_read_named(io, dir, "roster", &b);
    rc = rc == ERR_LIMIT ? ERR_CORRUPT : rc;
    if (rc == 0)
        rc = identity_open_file(buf_view(&b), magic_roster, &in);
    if (rc == 0 && (u32le_read(&in, &length) != 0 || length != in.len))
        rc = ERR_CORRUPT;
    if (rc == 0) {
        buf_str(message, in);
        rc = message->error;
    }
    buf_reset(&b);
    return rc;
}

int roster_write(const struct store_io *io, const char *dir, struct str message)
{
    struct buf b = {0};
    if (message.len > FILE_MAX - 64)
        return ERR_LIMIT;
    buf_str(&b, magic_roster);
    buf_u32le(&b, (uint32_t)message.len);
    buf_str(&b, message);
    identity_put_crc(&b, 0);
    int rc = identity_replace(io, dir, "roster", &b);
    buf_reset(&b);
    return rc;
}
