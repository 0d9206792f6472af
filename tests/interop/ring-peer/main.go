// A member and reader of a ring, made of dskit's own lifecyclers, ring client and memberlist, driven by lines on
// standard input; each answer is one line of JSON. Flags are dskit's (-memberlist.*) and those below.
//
//	ring              the ring page's JSON
//	shares            what the ring page says of each member's share: id -> text
//	me                the own state, tokens and address
//	find TOKEN OP     ids of the members that hold a token ("write" or "read"), or the error
//	forget ID         the page's button
//	kv                the key's value with its tombstones, as the memberlist page shows it
//	read-only BOOL    mark the own entry
//	leave             stop the lifecycler, then the memberlist, and end
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grafana/dskit/dns"
	"github.com/grafana/dskit/kv"
	"github.com/grafana/dskit/kv/codec"
	"github.com/grafana/dskit/kv/memberlist"
	"github.com/grafana/dskit/ring"
	"github.com/grafana/dskit/services"
)

var (
	key     = flag.String("key", "ring", "the ring's key, without its prefix")
	kind    = flag.String("kind", "reader", "lifecycler, basic, or reader: not a member")
	id      = flag.String("id", "", "in the ring")
	addr    = flag.String("addr", "127.0.0.1", "to be called at")
	port    = flag.Int("port", 1, "to be called at")
	zone    = flag.String("zone", "", "of the member")
	tokens  = flag.Int("tokens", 128, "how many")
	period  = flag.Duration("heartbeat-period", time.Second, "of the member")
	timeout = flag.Duration("heartbeat-timeout", time.Minute, "of the reader")
	forget  = flag.Duration("forget", 0, "basic: forget others after so long")
	factor  = flag.Int("replication-factor", 1, "of the reader")
	stays   = flag.Bool("stays", false, "in the ring when it stops, as LEAVING")
)

const prefix = "collectors/"

type member struct {
	service services.Service
	me      func() map[string]interface{}
	mark    func(bool) error
}

func lifecycler(cfg kv.Config, logger log.Logger, reg prometheus.Registerer) member {
	var c ring.LifecyclerConfig
	c.RegisterFlagsWithPrefix("", flag.NewFlagSet("", flag.PanicOnError), logger)
	c.RingConfig.KVStore = cfg
	c.RingConfig.HeartbeatTimeout = *timeout
	c.NumTokens, c.HeartbeatPeriod, c.Addr, c.Port, c.ID, c.Zone = *tokens, *period, *addr, *port, *id, *zone
	c.MinReadyDuration, c.FinalSleep, c.UnregisterOnShutdown = 0, 0, !*stays
	l, err := ring.NewLifecycler(c, nil, "ingester", *key, false, logger, reg)
	if err != nil {
		panic(err)
	}
	return member{l, func() map[string]interface{} {
		return map[string]interface{}{"state": l.GetState().String(), "addr": l.Addr}
	}, func(on bool) error { return l.ChangeReadOnlyState(context.Background(), on) }}
}

func basic(cfg kv.Config, logger log.Logger, reg prometheus.Registerer) member {
	store, err := kv.NewClient(cfg, ring.GetCodec(), kv.RegistererWithKVName(reg, "basic-lifecycler"), logger)
	if err != nil {
		panic(err)
	}
	var delegate ring.BasicLifecyclerDelegate = ring.NewInstanceRegisterDelegate(ring.ACTIVE, *tokens)
	delegate = ring.NewLeaveOnStoppingDelegate(delegate, logger)
	if *forget > 0 {
		delegate = ring.NewAutoForgetDelegate(*forget, delegate, logger)
	}
	l, err := ring.NewBasicLifecycler(ring.BasicLifecyclerConfig{ID: *id, Addr: *addr + ":" + strconv.Itoa(*port), Zone: *zone,
		HeartbeatPeriod: *period, HeartbeatTimeout: *timeout, NumTokens: *tokens}, "basic", *key, store, delegate, logger, reg)
	if err != nil {
		panic(err)
	}
	return member{l, func() map[string]interface{} {
		return map[string]interface{}{"state": l.GetState().String(), "addr": l.GetInstanceAddr(), "tokens": l.GetTokens()}
	}, func(on bool) error { return l.ChangeReadOnlyState(context.Background(), on) }}
}

func page(r *ring.Ring, accept, method, body string) string {
	q := httptest.NewRequest(method, "/ring", strings.NewReader(body))
	q.Header.Set("Accept", accept)
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	r.ServeHTTP(w, q)
	if w.Code >= 400 {
		return strconv.Quote(strings.TrimSpace(w.Body.String()))
	}
	return w.Body.String()
}

var (
	rows  = regexp.MustCompile(`(?s)<tr[^>]*>(.*?)</tr>`)
	cells = regexp.MustCompile(`(?s)<td[^>]*>(.*?)</td>`)
)

// shares are the texts of the column before the last one.
func shares(html string) map[string]string {
	out := map[string]string{}
	for _, row := range rows.FindAllStringSubmatch(html, -1) {
		if c := cells.FindAllStringSubmatch(row[1], -1); len(c) > 2 {
			out[strings.TrimSpace(c[0][1])] = strings.TrimSpace(c[len(c)-2][1])
		}
	}
	return out
}

func find(r *ring.Ring, token, op string) interface{} {
	n, _ := strconv.ParseUint(token, 10, 32)
	operation := ring.Write
	if op == "read" {
		operation = ring.Read
	}
	set, err := r.Get(uint32(n), operation, nil, nil, nil)
	if err != nil {
		return err.Error()
	}
	ids := []string{}
	for _, in := range set.Instances {
		ids = append(ids, in.Id)
	}
	sort.Strings(ids)
	return ids
}

func value(s *memberlist.KVInitService) string {
	q := httptest.NewRequest("GET", "/memberlist?format=json&viewKey="+prefix+*key, nil)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, q)
	return strings.TrimSpace(w.Body.String())
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	var list memberlist.KVConfig
	list.RegisterFlags(flag.CommandLine)
	flag.Parse()
	list.Codecs = []codec.Codec{ring.GetCodec()}
	logger := log.NewLogfmtLogger(log.NewSyncWriter(os.Stderr))
	registry := prometheus.NewRegistry()
	service := memberlist.NewKVInitService(&list, logger, dns.NewProvider(dns.GolangResolverType, 1, logger, registry), registry)
	ctx := context.Background()
	must(services.StartAndAwaitRunning(ctx, service))

	cfg := kv.Config{Store: "memberlist", Prefix: prefix}
	cfg.MemberlistKV = service.GetMemberlistKV
	reader, err := ring.New(ring.Config{KVStore: cfg, HeartbeatTimeout: *timeout, ReplicationFactor: *factor}, "reader", *key,
		logger, prometheus.NewRegistry())
	must(err)
	must(services.StartAndAwaitRunning(ctx, reader))

	var m member
	switch *kind {
	case "lifecycler":
		m = lifecycler(cfg, logger, registry)
	case "basic":
		m = basic(cfg, logger, registry)
	}
	if m.service != nil {
		must(services.StartAndAwaitRunning(ctx, m.service))
	}

	say := func(text string) { fmt.Println(strings.ReplaceAll(strings.TrimSpace(text), "\n", " ")) }
	answer := func(v interface{}) {
		line, _ := json.Marshal(v)
		say(string(line))
	}
	answer("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		f := strings.Fields(in.Text())
		switch f[0] {
		case "ring":
			say(page(reader, "application/json", "GET", ""))
		case "shares":
			answer(shares(page(reader, "text/html", "GET", "")))
		case "me":
			answer(m.me())
		case "find":
			answer(find(reader, f[1], f[2]))
		case "forget":
			page(reader, "text/html", "POST", "forget="+f[1])
			answer("ok")
		case "kv":
			say(value(service))
		case "read-only":
			if err := m.mark(f[1] == "true"); err != nil {
				answer(err.Error())
			} else {
				answer("ok")
			}
		case "leave":
			if m.service != nil {
				must(services.StopAndAwaitTerminated(ctx, m.service))
			}
			must(services.StopAndAwaitTerminated(ctx, reader))
			must(services.StopAndAwaitTerminated(ctx, service))
			answer("left")
			return
		}
	}
}
