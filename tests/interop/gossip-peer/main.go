// A member of a cluster made of dskit's own key-value store and memberlist, driven by lines on
// standard input; each answer is one line of JSON. Flags are dskit's (-memberlist.*).
//
//	members          names of the alive and suspected ones
//	get              the key's value: name -> number, of what has not left
//	set NAME NUMBER  change one name by CAS
//	drop NAME        remove one name by CAS, which leaves a tombstone
//	delete           delete the key
//	leave            stop gracefully and end
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grafana/dskit/dns"
	"github.com/grafana/dskit/kv/codec"
	"github.com/grafana/dskit/kv/memberlist"
	"github.com/grafana/dskit/services"
)

const key = "interop/key"

type item struct {
	At     int64
	Left   bool
	Number uint64
}

// value is the counterpart of tests/unit/gossip/kv_test_codec.h.
type value struct{ items map[string]item }

func (v *value) Merge(other memberlist.Mergeable, localCAS bool) (memberlist.Mergeable, error) {
	if other == nil {
		return nil, nil
	}
	theirs, delta := other.(*value), &value{map[string]item{}}
	for name, t := range theirs.items {
		m, ok := v.items[name]
		if !ok || t.At > m.At || (t.At == m.At && ((t.Left && !m.Left) || (t.Left == m.Left && t.Number > m.Number))) {
			delta.items[name] = t
		}
	}
	if localCAS {
		for name, m := range v.items {
			if _, ok := theirs.items[name]; !ok && !m.Left {
				m.Left, m.At = true, time.Now().Unix()
				delta.items[name] = m
			}
		}
	}
	for name, t := range delta.items {
		v.items[name] = t
	}
	if len(delta.items) == 0 {
		return nil, nil
	}
	return delta.Clone(), nil
}

func (v *value) MergeContent() []string {
	var names []string
	for name := range v.items {
		names = append(names, name)
	}
	return names
}

func (v *value) RemoveTombstones(limit time.Time) (total, removed int) {
	for name, t := range v.items {
		if !t.Left {
			continue
		}
		if limit.IsZero() || time.Unix(t.At, 0).Before(limit) {
			delete(v.items, name)
			removed++
		} else {
			total++
		}
	}
	return
}

func (v *value) Clone() memberlist.Mergeable {
	c := &value{map[string]item{}}
	for name, t := range v.items {
		c.items[name] = t
	}
	return c
}

type textCodec struct{}

func (textCodec) CodecID() string { return "test" }

func (textCodec) Encode(in interface{}) ([]byte, error) {
	var names []string
	v, out := in.(*value), ""
	for name := range v.items {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		left := 0
		if v.items[name].Left {
			left = 1
		}
		out += fmt.Sprintf("%s %d %d %d\n", name, v.items[name].At, left, v.items[name].Number)
	}
	return []byte(out), nil
}

func (textCodec) Decode(in []byte) (interface{}, error) {
	v := &value{map[string]item{}}
	for _, line := range strings.Split(string(in), "\n") {
		f := strings.Split(line, " ")
		if len(f) != 4 {
			continue
		}
		at, _ := strconv.ParseInt(f[1], 10, 64)
		number, _ := strconv.ParseUint(f[3], 10, 64)
		v.items[f[0]] = item{at, f[2] == "1", number}
	}
	return v, nil
}

func members(s *memberlist.KVInitService) []string {
	var page struct{ SortedMembers []struct{ Name string } }
	names := []string{}
	r := httptest.NewRequest("GET", "/memberlist", nil)
	r.Header.Set("Accept", "application/json")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
		panic(err)
	}
	for _, m := range page.SortedMembers {
		names = append(names, m.Name)
	}
	return names
}

func get(kv *memberlist.KV) map[string]uint64 {
	out := map[string]uint64{}
	got, err := kv.Get(key, textCodec{})
	if err == nil && got != nil {
		for name, t := range got.(*value).items {
			out[name] = t.Number
		}
	}
	return out
}

func change(kv *memberlist.KV, edit func(v *value)) interface{} {
	err := kv.CAS(context.Background(), key, textCodec{}, func(in interface{}) (interface{}, bool, error) {
		v := &value{map[string]item{}}
		if in != nil {
			v = in.(*value)
		}
		edit(v)
		return v, true, nil
	})
	if err != nil {
		return err.Error()
	}
	return "ok"
}

func main() {
	var cfg memberlist.KVConfig
	cfg.RegisterFlags(flag.CommandLine)
	flag.Parse()
	cfg.Codecs = []codec.Codec{textCodec{}}
	logger := log.NewLogfmtLogger(log.NewSyncWriter(os.Stderr))
	registry := prometheus.NewRegistry()
	provider := dns.NewProvider(dns.GolangResolverType, 1, logger, registry)
	service := memberlist.NewKVInitService(&cfg, logger, provider, registry)
	if err := services.StartAndAwaitRunning(context.Background(), service); err != nil {
		panic(err)
	}
	kv, err := service.GetMemberlistKV()
	if err != nil {
		panic(err)
	}
	if err := kv.AwaitRunning(context.Background()); err != nil {
		panic(err)
	}
	answer := func(v interface{}) {
		line, _ := json.Marshal(v)
		fmt.Println(string(line))
	}
	answer("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		f := strings.Fields(in.Text())
		switch f[0] {
		case "members":
			answer(members(service))
		case "get":
			answer(get(kv))
		case "set":
			number, _ := strconv.ParseUint(f[2], 10, 64)
			answer(change(kv, func(v *value) { v.items[f[1]] = item{time.Now().Unix(), false, number} }))
		case "drop":
			answer(change(kv, func(v *value) { delete(v.items, f[1]) }))
		case "delete":
			if err := kv.Delete(key); err != nil {
				answer(err.Error())
			} else {
				answer("ok")
			}
		case "leave":
			_ = services.StopAndAwaitTerminated(context.Background(), service)
			answer("left")
			return
		}
	}
}
