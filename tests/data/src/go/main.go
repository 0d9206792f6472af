// Writes cpu, heap and goroutine profiles of a small order service that keeps an index of what it
// sold: go run ./tests/data/src/go DIR
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"sort"
	"strings"
	"sync"
	"time"
)

type order struct {
	ID    string            `json:"id"`
	Items []string          `json:"items"`
	Notes map[string]string `json:"notes"`
}

type index[K comparable] struct {
	mu   sync.Mutex
	byID map[K][]order
}

func (x *index[K]) add(key K, o order) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.byID[key] = append(x.byID[key], o)
	if len(x.byID[key]) > 64 {
		x.byID[key] = append([]order(nil), x.byID[key][32:]...)
	}
}

func makeOrder(n int) order {
	o := order{ID: fmt.Sprintf("order-%08d", n), Notes: map[string]string{}}
	for i := 0; i < 8+n%5; i++ {
		o.Items = append(o.Items, strings.Repeat("item", 1+(n+i)%7))
		o.Notes[fmt.Sprint("note", i)] = fmt.Sprint(n * i)
	}
	return o
}

func encode(o order) []byte {
	raw, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(raw)
	z.Close()
	return out.Bytes()
}

func checksum(raw []byte, rounds int) (sum [32]byte) {
	sum = sha256.Sum256(raw)
	for i := 0; i < rounds; i++ {
		sum = sha256.Sum256(sum[:])
	}
	return sum
}

// walk is deep on purpose: its stacks are longer than the runtime keeps for heap profiles.
func walk(depth int, parts []string) []string {
	if depth == 0 {
		sort.Strings(parts)
		return append([]string(nil), parts...)
	}
	return walk(depth-1, append(parts, fmt.Sprint(depth*7919%101)))
}

func serve(until time.Time, kept *index[string]) {
	for n := 0; time.Now().Before(until); n++ {
		o := makeOrder(n)
		raw := encode(o)
		sum := checksum(raw, 200)
		kept.add(string(sum[:1]), o)
		if n%16 == 0 {
			walk(40+n%64, nil)
		}
	}
}

func write(dir, name string, debug int) {
	f, err := os.Create(filepath.Join(dir, name+".pb.gz"))
	if err != nil {
		panic(err)
	}
	defer f.Close()
	if err := pprof.Lookup(strings.TrimPrefix(name, "go-")).WriteTo(f, debug); err != nil {
		panic(err)
	}
}

func main() {
	dir := os.Args[1]
	runtime.MemProfileRate = 4096
	f, err := os.Create(filepath.Join(dir, "go-cpu.pb.gz"))
	if err != nil {
		panic(err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		panic(err)
	}
	kept := &index[string]{byID: map[string][]order{}}
	var wg sync.WaitGroup
	until := time.Now().Add(6 * time.Second)
	for i := 0; i < 3; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			serve(until, kept)
		}()
	}
	block := make(chan struct{})
	for i := 0; i < 20; i++ {
		go func() { <-block }()
	}
	time.Sleep(5 * time.Second)
	write(dir, "go-goroutine", 0)
	wg.Wait()
	pprof.StopCPUProfile()
	f.Close()
	runtime.GC()
	write(dir, "go-heap", 0)
	close(block)
}
