// Writes the heap profile of a program that evaluates a deep expression, with stacks cut at the 32
// frames that runtimes before Go 1.23 kept: GODEBUG=profstackdepth=32 go run . DIR
package main

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
)

type node struct {
	kind int
	next *node
}

var kept [][]byte

//go:noinline
func eval(n *node, size int) int {
	kept = append(kept, make([]byte, size))
	if n == nil {
		return size
	}
	switch n.kind {
	case 0:
		return evalSum(n, size)
	case 1:
		return evalCall(n, size)
	default:
		return evalList(n, size)
	}
}

//go:noinline
func evalSum(n *node, size int) int { return eval(n.next, size) + 1 }

//go:noinline
func evalCall(n *node, size int) int { return eval(n.next, size) + 2 }

//go:noinline
func evalList(n *node, size int) int { return eval(n.next, size) + 3 }

func main() {
	runtime.MemProfileRate = 1
	kept = make([][]byte, 0, 1<<16)
	var root *node
	state := uint32(7)
	for i := 0; i < 24; i++ {
		state = state*1664525 + 1013904223
		root = &node{kind: int((state >> 24) % 3), next: root}
	}
	for i := 0; i < 100; i++ {
		eval(root, 1024)
	}
	runtime.GC()
	f, err := os.Create(filepath.Join(os.Args[1], "go-heap-cut.pb.gz"))
	if err != nil {
		panic(err)
	}
	defer f.Close()
	if err := pprof.Lookup("heap").WriteTo(f, 0); err != nil {
		panic(err)
	}
	runtime.KeepAlive(kept)
}
