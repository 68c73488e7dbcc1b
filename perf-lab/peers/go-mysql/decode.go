package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"

	"github.com/go-mysql-org/go-mysql/replication"
)

// decode parses whole files, which are in memory before the clock starts.
func decode(args []string) error {
	flags := flag.NewFlagSet("decode", flag.ContinueOnError)
	rowsWanted := flags.Int64("rows", 0, "")
	iterations := flags.Int("iterations", 1, "")
	for _, unused := range []string{"host", "port", "user", "password", "schema", "database"} {
		flags.String(unused, "", "") // other peers need these
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return fmt.Errorf("decode: no files")
	}
	var files [][]byte
	size := 0
	for _, name := range flags.Args() {
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if !bytes.HasPrefix(content, replication.BinLogFileHeader) {
			return fmt.Errorf("%s: not a binlog file", name)
		}
		files = append(files, content[len(replication.BinLogFileHeader):])
		size += len(content)
	}

	for range *iterations {
		start := monotonicNs()
		rows := int64(0)
		for i, content := range files {
			parser := replication.NewBinlogParser()
			err := parser.ParseReader(bytes.NewReader(content), func(event *replication.BinlogEvent) error {
				rows += countRows(event)
				return nil
			})
			if err != nil {
				return fmt.Errorf("%s: %w", flags.Arg(i), err)
			}
		}
		ns := monotonicNs() - start
		report(map[string]any{"event": "decode", "rows": rows, "bytes": size, "ns": ns})
		if *rowsWanted > 0 && rows != *rowsWanted {
			return fmt.Errorf("decode: %d rows where %d were expected", rows, *rowsWanted)
		}
	}
	return nil
}

// countRows touches each row; an update is one.
func countRows(event *replication.BinlogEvent) int64 {
	switch body := event.Event.(type) {
	case *replication.RowsEvent:
		step := 1
		switch event.Header.EventType {
		case replication.UPDATE_ROWS_EVENTv1, replication.UPDATE_ROWS_EVENTv2, replication.PARTIAL_UPDATE_ROWS_EVENT,
			replication.MARIADB_UPDATE_ROWS_COMPRESSED_EVENT_V1:
			step = 2
		}
		for i := step - 1; i < len(body.Rows); i += step {
			touch(body.Rows[i])
		}
		return int64(len(body.Rows) / step)
	case *replication.TransactionPayloadEvent:
		rows := int64(0)
		for _, inner := range body.Events {
			rows += countRows(inner)
		}
		return rows
	}
	return 0
}
