/* gossip/memberlist_diag.c - log lines about peers that do not behave as members. */
#include "base/log.h"
#include "gossip/memberlist_priv.h"

/* Causes, by which lines are told apart (gossip/quiet.h). */
static const char cause_label[] = "label", cause_unlabelled[] = "unlabelled",
                  cause_unknown[] = "unknown", cause_bad[] = "bad",
                  cause_misdirected[] = "misdirected", cause_unanswered[] = "unanswered",
                  cause_refused[] = "refused", cause_stream_only[] = "stream only",
                  cause_version[] = "version", cause_nothing_arrives[] = "nothing arrives",
                  cause_suspected[] = "suspected";

enum {
    FAILED_IN_A_ROW = 3,      /* probes, before we doubt ourselves */
    REFUTES_MANY = 3,         /* in one window */
    REFUTE_WINDOW_MS = 300000,
};

static bool may_log(struct memberlist *ml, const char *cause, const struct gossip_addr *where,
                    uint64_t *left_out, char text[GOSSIP_ADDR_TEXT_MAX])
{
    *left_out = 0;
    gossip_addr_text(where, text);
    return quiet_pass(&ml->quiet, where, cause, ml->now, left_out);
}

void ml_diag_label(struct memberlist *ml, const struct gossip_addr *from, struct str theirs,
                   bool stream)
{
    uint64_t left_out;
    char text[GOSSIP_ADDR_TEXT_MAX];
    const char *what = stream ? "stream" : "packet";
    bool none = theirs.len == 0;
    ml->stats.streams_foreign += stream ? 1 : 0;
    ml->stats.packets_unlabelled += !stream && none ? 1 : 0;
    ml->stats.packets_foreign += !stream && !none ? 1 : 0;
    if (!may_log(ml, none ? cause_unlabelled : cause_label, from, &left_out, text))
        return;
    if (none)
        log_line(ml->log, LOG_WARN,
                 "a peer without cluster label is kept out; give it our -memberlist.cluster-label "
                 "if it belongs to us, else take our address off its join list",
                 LOG_C("from", text), LOG_S("our_label", ml->cfg.label), LOG_C("by", what),
                 LOG_U("left_out", left_out));
    else
        log_line(ml->log, LOG_WARN,
                 "a peer of another cluster is kept out; make -memberlist.cluster-label the same "
                 "at both if they are one, else take the address off the other's join list",
                 LOG_C("from", text), LOG_S("our_label", ml->cfg.label),
                 LOG_S("their_label", theirs), LOG_C("by", what), LOG_U("left_out", left_out));
}

void ml_diag_unknown(struct memberlist *ml, const struct gossip_addr *from, uint8_t type)
{
    uint64_t left_out;
    char text[GOSSIP_ADDR_TEXT_MAX];
    ml->stats.packets_unknown++;
    if (may_log(ml, cause_unknown, from, &left_out, text))
        log_line(ml->log, LOG_WARN,
                 "message of a type that memberlist does not have; is it another protocol, or a "
                 "peer that encrypts its gossip?",
                 LOG_C("from", text), LOG_U("type", type), LOG_U("left_out", left_out));
}

void ml_diag_bad(struct memberlist *ml, const struct gossip_addr *from, const char *what,
                 const char *reason, size_t bytes)
{
    uint64_t left_out;
    char text[GOSSIP_ADDR_TEXT_MAX];
    if (may_log(ml, cause_bad, from, &left_out, text))
        log_line(ml->log, LOG_WARN, what, LOG_C("from", text), LOG_C("reason", reason),
                 LOG_U("bytes", bytes), LOG_U("left_out", left_out));
}

void ml_diag_misdirected(struct memberlist *ml, const struct gossip_addr *from, struct str meant,
                         struct str source)
{
    uint64_t left_out;
    char text[GOSSIP_ADDR_TEXT_MAX];
    ml->stats.packets_misdirected++;
    if (may_log(ml, cause_misdirected, from, &left_out, text))
        log_line(ml->log, LOG_WARN,
                 "a ping for another member came here: our address was its, or two members "
                 "announce one address; check -memberlist.advertise-addr if it goes on",
                 LOG_C("from", text), LOG_S("by", source), LOG_S("meant", meant),
                 LOG_U("left_out", left_out));
}

void ml_diag_unanswered(struct memberlist *ml, const struct gossip_addr *peer)
{
    uint64_t left_out;
    char text[GOSSIP_ADDR_TEXT_MAX];
    ml->stats.streams_unanswered++;
    if (may_log(ml, cause_unanswered, peer, &left_out, text))
        log_line(ml->log, LOG_WARN,
                 "a peer closed an exchange of state without a word, as it does to another "
                 "cluster's members; compare -memberlist.cluster-label, and see its log",
                 LOG_C("peer", text), LOG_S("our_label", ml->cfg.label),
                 LOG_U("left_out", left_out));
}

void ml_diag_refused(struct memberlist *ml, const struct gossip_addr *peer, struct str said)
{
    uint64_t left_out;
    char text[GOSSIP_ADDR_TEXT_MAX];
    if (may_log(ml, cause_refused, peer, &left_out, text))
        log_line(ml->log, LOG_WARN, "a peer refused to exchange state", LOG_C("peer", text),
                 LOG_S("it_said", said), LOG_U("left_out", left_out));
}

void ml_diag_stream_only(struct memberlist *ml, const struct gossip_addr *peer, struct str name)
{
    uint64_t left_out;
    char text[GOSSIP_ADDR_TEXT_MAX];
    ml->stats.stream_pings_ok++;
    if (may_log(ml, cause_stream_only, peer, &left_out, text))
        log_line(ml->log, LOG_WARN,
                 "a member answers on streams but not to packets; is UDP blocked on its port?",
                 LOG_S("member", name), LOG_C("addr", text), LOG_U("left_out", left_out));
}

void ml_diag_version(struct memberlist *ml, const struct gossip_addr *peer, struct str name,
                     const char *part, const uint8_t range_and_spoken[3])
{
    uint64_t left_out;
    char text[GOSSIP_ADDR_TEXT_MAX];
    ml->stats.merge_refused++;
    if (may_log(ml, cause_version, peer, &left_out, text))
        log_line(ml->log, LOG_WARN,
                 "state not merged: a member speaks a version outside of what all others do; "
                 "update or stop that member",
                 LOG_C("peer", text), LOG_S("member", name), LOG_C("version_of", part),
                 LOG_U("spoken", range_and_spoken[2]), LOG_U("min", range_and_spoken[0]),
                 LOG_U("max", range_and_spoken[1]), LOG_U("left_out", left_out));
}

/* --- an address that others cannot reach ---------------------------------------------------- */

/* Our push/pulls succeed, but no probe is answered and nothing comes in: answers go to what we
 * announce, so that is where they are lost. */
void ml_reach_probe(struct memberlist *ml, bool acked, mono_ms start)
{
    struct reach *r = &ml->reach;
    uint64_t left_out;
    char text[GOSSIP_ADDR_TEXT_MAX];
    if (acked) {
        r->acks++;
        r->failed = 0;
        return;
    }
    if (r->failed++ == 0)
        r->failed_since = start;
    if (r->failed < FAILED_IN_A_ROW || r->last_in >= r->failed_since ||
        r->last_out < r->failed_since)
        return;
    r->failed = 0;
    ml->stats.unreachable++;
    const struct gossip_addr *self = &members_self(ml->members)->addr;
    if (may_log(ml, cause_nothing_arrives, self, &left_out, text))
        log_line(ml->log, LOG_ERROR,
                 "this member reaches others, but nothing from them arrives: they cannot reach "
                 "the address that it announces; check -memberlist.advertise-addr and "
                 "advertise-port, and that the port is open inwards",
                 LOG_C("announced", text), LOG_U("left_out", left_out));
}

/* Others suspect us again and again, while others still answer our probes. */
void ml_watch_reach(struct memberlist *ml)
{
    struct reach *r = &ml->reach;
    uint64_t refuted = members_stats(ml->members)->refuted, left_out;
    char text[GOSSIP_ADDR_TEXT_MAX];
    if (refuted == r->refuted)
        return;
    if (r->refutes == 0 || ml->now - r->window > REFUTE_WINDOW_MS) {
        r->refutes = 0;
        r->window = ml->now;
        r->window_acks = r->acks;
    }
    r->refutes += (uint32_t)(refuted - r->refuted);
    r->refuted = refuted;
    if (r->refutes < REFUTES_MANY || r->acks < r->window_acks + REFUTES_MANY)
        return;
    r->refutes = 0;
    ml->stats.unreachable++;
    const struct gossip_addr *self = &members_self(ml->members)->addr;
    if (may_log(ml, cause_suspected, self, &left_out, text))
        log_line(ml->log, LOG_ERROR,
                 "others suspect this member again and again though it answers: some of them "
                 "cannot reach the address that it announces, or it is short of CPU; check the "
                 "way from the accuser to it",
                 LOG_C("announced", text), LOG_S("accuser", members_last_accuser(ml->members)),
                 LOG_U("left_out", left_out));
}
