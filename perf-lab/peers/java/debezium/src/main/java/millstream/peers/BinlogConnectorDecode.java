package millstream.peers;

import com.github.shyiko.mysql.binlog.BinaryLogFileReader;
import com.github.shyiko.mysql.binlog.event.DeleteRowsEventData;
import com.github.shyiko.mysql.binlog.event.Event;
import com.github.shyiko.mysql.binlog.event.EventData;
import com.github.shyiko.mysql.binlog.event.TransactionPayloadEventData;
import com.github.shyiko.mysql.binlog.event.UpdateRowsEventData;
import com.github.shyiko.mysql.binlog.event.WriteRowsEventData;
import java.io.ByteArrayInputStream;
import java.io.Serializable;
import java.util.List;
import java.util.Map;

/** The binlog client that Debezium reads with, alone: rows as arrays of Java values, before Debezium makes records of them. */
final class BinlogConnectorDecode {
  private BinlogConnectorDecode() {}

  /** Keeps the reads of values alive. */
  private static long touched;

  static void run(Options options) throws Exception {
    DecodeRuns.run(options, BinlogConnectorDecode::decode);
  }

  private static long decode(List<byte[]> files) throws Exception {
    long rows = 0;
    for (byte[] file : files) {
      try (BinaryLogFileReader reader = new BinaryLogFileReader(new ByteArrayInputStream(file))) {
        for (Event event = reader.readEvent(); event != null; event = reader.readEvent()) {
          rows += rowsOf(event.getData());
        }
      }
    }
    return rows;
  }

  private static long rowsOf(EventData data) {
    if (data instanceof WriteRowsEventData written) {
      return touch(written.getRows());
    }
    if (data instanceof DeleteRowsEventData deleted) {
      return touch(deleted.getRows());
    }
    if (data instanceof UpdateRowsEventData updated) {
      for (Map.Entry<Serializable[], Serializable[]> row : updated.getRows()) {
        touch(row.getValue());
      }
      return updated.getRows().size();
    }
    if (data instanceof TransactionPayloadEventData payload) {
      long rows = 0;
      for (Event inner : payload.getUncompressedEvents()) {
        rows += rowsOf(inner.getData());
      }
      return rows;
    }
    return 0;
  }

  private static long touch(List<Serializable[]> rows) {
    for (Serializable[] row : rows) {
      touch(row);
    }
    return rows.size();
  }

  private static void touch(Serializable[] row) {
    if (row.length > 0 && row[0] != null) {
      touched += row[0].hashCode();
    }
  }
}
