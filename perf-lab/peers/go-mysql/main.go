// A peer's harness: github.com/go-mysql-org/go-mysql as its users run it.
//
//	version
//	stream   canal.Canal with an EventHandler, from a file position
//	decode   replication.BinlogParser over whole files, rows down to Go values
//
// ../README.md has the flags and the lines on stdout. Times are CLOCK_MONOTONIC in nanoseconds.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

const module = "github.com/go-mysql-org/go-mysql"

// errTimeout ends the program with status 3; its line has been printed.
var errTimeout = errors.New("timeout")

func main() {
	err := run(os.Args[1:])
	switch {
	case errors.Is(err, errTimeout):
		os.Exit(3)
	case err != nil:
		fmt.Fprintln(os.Stderr, "go-mysql:", strings.ReplaceAll(err.Error(), "\n", " "))
		os.Exit(1)
	}
}

func run(args []string) error {
	command := "help"
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	switch command {
	case "version":
		report(map[string]any{
			"name":    "go-mysql",
			"version": moduleVersion(),
			"settings": "canal.NewDefaultConfig without mysqldump; event channel 10240; ParseTime and UseDecimal off; " +
				"checksums not verified; GOGC default",
		})
		return nil
	case "stream":
		return stream(args)
	case "decode":
		return decode(args)
	}
	return fmt.Errorf("no command '%s': version, stream or decode", command)
}

// report writes one JSON object as a line. os.Stdout has no buffer of its own, so it is out when this returns.
func report(fields map[string]any) {
	line, err := json.Marshal(fields)
	if err != nil {
		panic(err) // only strings and integers are ever put in
	}
	os.Stdout.Write(append(line, '\n'))
}

func monotonicNs() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // every Linux has this clock
	}
	return t.Nano()
}

// maxRssKib is the high-water mark of this program alone; getrusage would count what ran before exec too.
func maxRssKib() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(status), "\n") {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib
		}
	}
	return 0
}

func moduleVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dependency := range info.Deps {
			if dependency.Path == module {
				return strings.TrimPrefix(dependency.Version, "v")
			}
		}
	}
	return "unknown"
}

// touched keeps the compiler from dropping the reads of values.
var touched uint64

// touch reads one value, as a consumer would.
func touch(row []any) {
	if len(row) == 0 {
		return
	}
	switch value := row[0].(type) {
	case int64:
		touched += uint64(value)
	case int32:
		touched += uint64(value)
	case uint64:
		touched += value
	case string:
		touched += uint64(len(value))
	case []byte:
		touched += uint64(len(value))
	default:
		touched++
	}
}
