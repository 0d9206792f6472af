// A program with one hot function that profiles itself with the Go SDK for some seconds.
package main

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/grafana/pyroscope-go"
)

//go:noinline
func hotFunctionInGo(n int) int {
	sum := 0
	for i := 0; i < n; i++ {
		sum += i * i % 7
	}
	return sum
}

func main() {
	runtime.SetMutexProfileFraction(5)
	p, err := pyroscope.Start(pyroscope.Config{
		ApplicationName: os.Args[2],
		ServerAddress:   os.Args[1],
		UploadRate:      time.Second,
		Tags:            map[string]string{"region": "here"},
		ProfileTypes:    []pyroscope.ProfileType{pyroscope.ProfileCPU, pyroscope.ProfileInuseSpace, pyroscope.ProfileGoroutines},
		Logger:          pyroscope.StandardLogger,
	})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	end := time.Now().Add(4 * time.Second)
	sum := 0
	for time.Now().Before(end) {
		sum += hotFunctionInGo(1_000_000)
	}
	if err := p.Stop(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("done", sum)
}
