package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-mysql-org/go-mysql/canal"
	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
	"golang.org/x/sys/unix"
)

func stream(args []string) error {
	flags := flag.NewFlagSet("stream", flag.ContinueOnError)
	host := flags.String("host", "127.0.0.1", "")
	port := flags.Int("port", 3306, "")
	user := flags.String("user", "", "")
	password := flags.String("password", "", "")
	file := flags.String("file", "", "")
	position := flags.Uint("position", 4, "")
	serverID := flags.Uint("server-id", 4242, "")
	database := flags.String("database", "lab", "")
	rows := flags.Int64("rows", 0, "")
	transactions := flags.Int("transactions", 0, "")
	stampFile := flags.String("stamps", "", "")
	progress := flags.Int64("progress", 0, "")
	timeoutS := flags.Int("timeout-s", 0, "")
	if err := flags.Parse(args); err != nil {
		return err
	}

	address := net.JoinHostPort(*host, fmt.Sprint(*port))
	flavor, err := flavorOf(address, *user, *password)
	if err != nil {
		return err
	}
	config := canal.NewDefaultConfig()
	config.Addr = address
	config.User = *user
	config.Password = *password
	config.ServerID = uint32(*serverID)
	config.Flavor = flavor
	config.IncludeTableRegex = []string{"^" + regexp.QuoteMeta(*database) + `\.`}
	config.Dump.ExecutionPath = "" // no snapshot
	config.Logger = slog.New(readyHandler{slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})})
	follower, err := canal.NewCanal(config)
	if err != nil {
		return err
	}
	consumer := &consumer{rowsWanted: *rows, progressRows: *progress, done: make(chan int64, 1)}
	if *stampFile != "" {
		consumer.stamps = make([]int64, 0, max(*transactions, 1))
	}
	follower.SetEventHandler(consumer)

	failed := make(chan error, 1)
	go func() { failed <- follower.RunFrom(mysql.Position{Name: *file, Pos: uint32(*position)}) }()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGTERM, unix.SIGINT)
	var deadline <-chan time.Time
	if *timeoutS > 0 {
		deadline = time.After(time.Duration(*timeoutS) * time.Second)
	}

	select {
	case ns := <-consumer.done:
		if err := writeStamps(*stampFile, consumer.stamps); err != nil {
			return err
		}
		report(map[string]any{
			"event": "done", "rows": consumer.rows.Load(), "transactions": consumer.transactions, "ns": ns,
			"max_rss_kib": maxRssKib(),
		})
		return nil
	case <-stop:
		report(map[string]any{"event": "stopped", "rows": consumer.rows.Load(), "max_rss_kib": maxRssKib()})
		return nil
	case <-deadline:
		report(map[string]any{"event": "timeout", "rows": consumer.rows.Load()})
		return errTimeout
	case err := <-failed:
		if err == nil {
			err = fmt.Errorf("the stream ended after %d rows", consumer.rows.Load())
		}
		return err
	}
}

// consumer counts rows. Its methods run on the follower's one goroutine; rows alone is read by another.
type consumer struct {
	canal.DummyEventHandler
	rowsWanted   int64
	progressRows int64
	rows         atomic.Int64
	transactions int64
	// lastRowNs is when the open transaction's newest row came; 0: no row yet. Kept with stamps only.
	lastRowNs int64
	open      bool
	stamps    []int64 // nil: none wanted
	done      chan int64
}

func (c *consumer) OnRow(event *canal.RowsEvent) error {
	step := 1
	if event.Action == canal.UpdateAction {
		step = 2 // before, after
	}
	for i := step - 1; i < len(event.Rows); i += step {
		touch(event.Rows[i])
	}
	before := c.rows.Load()
	rows := before + int64(len(event.Rows)/step)
	c.rows.Store(rows)
	c.open = true
	if before == 0 && rows > 0 {
		report(map[string]any{"event": "first_row", "ns": monotonicNs()})
	}
	if c.stamps != nil {
		c.lastRowNs = monotonicNs()
	}
	if c.progressRows > 0 && before/c.progressRows != rows/c.progressRows {
		report(map[string]any{"event": "progress", "rows": rows, "ns": monotonicNs()})
	}
	if c.rowsWanted > 0 && rows >= c.rowsWanted && before < c.rowsWanted {
		ns := monotonicNs()
		c.endTransaction() // its commit follows, and is not waited for
		c.done <- ns
		<-make(chan struct{}) // the program ends; nothing may change what is being reported
	}
	return nil
}

func (c *consumer) OnXID(*replication.EventHeader, mysql.Position) error {
	c.endTransaction()
	return nil
}

func (c *consumer) endTransaction() {
	if !c.open {
		return
	}
	c.open = false
	c.transactions++
	if c.stamps != nil {
		c.stamps = append(c.stamps, c.lastRowNs)
	}
}

// writeStamps writes one u64, little endian, for each transaction.
func writeStamps(file string, stamps []int64) error {
	if file == "" {
		return nil
	}
	bytes := make([]byte, 0, 8*len(stamps))
	for _, ns := range stamps {
		bytes = binary.LittleEndian.AppendUint64(bytes, uint64(ns))
	}
	return os.WriteFile(file, bytes, 0o644)
}

// flavorOf asks the server what it is: go-mysql wants to be told.
func flavorOf(address, user, password string) (string, error) {
	connection, err := client.Connect(address, user, password, "")
	if err != nil {
		return "", err
	}
	defer connection.Close()
	if strings.Contains(strings.ToLower(connection.GetServerVersion()), "mariadb") {
		return mysql.MariaDBFlavor, nil
	}
	return mysql.MySQLFlavor, nil
}

// readyHandler reports "ready" on the line that canal logs once the dump was requested: it has no callback for it.
type readyHandler struct{ slog.Handler }

func (readyHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h readyHandler) Handle(ctx context.Context, record slog.Record) error {
	if strings.HasPrefix(record.Message, "start sync binlog at") {
		report(map[string]any{"event": "ready"})
	}
	if !h.Handler.Enabled(ctx, record.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, record)
}

func (h readyHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	return readyHandler{h.Handler.WithAttrs(attributes)}
}

func (h readyHandler) WithGroup(name string) slog.Handler {
	return readyHandler{h.Handler.WithGroup(name)}
}
