package millstream.peers;

import com.alibaba.otter.canal.parse.driver.mysql.packets.server.ResultSetPacket;
import com.alibaba.otter.canal.parse.inbound.mysql.MysqlConnection;
import com.alibaba.otter.canal.parse.inbound.mysql.dbsync.LogEventConvert;
import com.alibaba.otter.canal.parse.inbound.mysql.dbsync.TableMetaCache;
import com.alibaba.otter.canal.parse.inbound.mysql.tsdb.MemoryTableMeta;
import com.alibaba.otter.canal.protocol.CanalEntry.Entry;
import com.alibaba.otter.canal.protocol.CanalEntry.EntryType;
import com.alibaba.otter.canal.protocol.CanalEntry.Pair;
import com.taobao.tddl.dbsync.binlog.LogBuffer;
import com.taobao.tddl.dbsync.binlog.LogContext;
import com.taobao.tddl.dbsync.binlog.LogDecoder;
import com.taobao.tddl.dbsync.binlog.LogEvent;
import com.taobao.tddl.dbsync.binlog.LogPosition;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * LogDecoder and LogEventConvert on one thread: bytes to the entries that Canal's parser gives its sink, every column a string in a
 * serialised RowChange. Columns' names come from the files' own DDL, from {@code --schema FILE} (CREATE TABLE statements with a
 * database's name before the table's), or from the server at {@code --host, --port, --user, --password}.
 */
final class CanalDecode {
  private CanalDecode() {}

  private static final int MAGIC_BYTES = 4;

  static void run(Options options) throws Exception {
    String schema =
        options.optional("schema") == null ? "" : Files.readString(Path.of(options.text("schema")));
    MysqlConnection connection = null;
    if (options.optional("port") != null) {
      connection = new MysqlConnection(
          new InetSocketAddress(options.text("host", "127.0.0.1"), (int) options.number("port", 3306)),
          options.text("user"), options.text("password"));
      connection.connect();
    }
    MysqlConnection server = connection;
    DecodeRuns.run(options, files -> decode(files, tables(schema, server)));
  }

  private static TableMetaCache tables(String schema, MysqlConnection server) {
    if (server != null) {
      return new TableMetaCache(server, null);
    }
    MemoryTableMeta memory = new MemoryTableMeta();
    for (String statement : schema.split(";")) {
      if (!statement.isBlank()) {
        memory.apply(null, "lab", statement, null);
      }
    }
    return new TableMetaCache(new NoServer(), memory);
  }

  /** The cache asks a server which kind it is before it asks its table history; an error counts as "the usual kind". */
  private static final class NoServer extends MysqlConnection {
    @Override
    public ResultSetPacket query(String statement) throws IOException {
      throw new IOException("no server to ask: " + statement);
    }
  }

  private static long decode(List<byte[]> files, TableMetaCache tables) throws Exception {
    LogEventConvert convert = new LogEventConvert();
    convert.setTableMetaCache(tables);
    convert.setCharset(StandardCharsets.UTF_8);
    long rows = 0;
    for (byte[] file : files) {
      LogContext context = new LogContext();
      context.setLogPosition(new LogPosition("binlog.000001"));
      LogDecoder decoder = new LogDecoder(LogEvent.UNKNOWN_EVENT, LogEvent.ENUM_END_EVENT);
      LogBuffer buffer = new LogBuffer(file, MAGIC_BYTES, file.length - MAGIC_BYTES);
      while (buffer.limit() > 0) {
        LogEvent event = decoder.decode(buffer, context);
        if (event == null) {
          throw new IllegalStateException(buffer.limit() + " bytes are left that are no whole event");
        }
        Entry entry = convert.parse(event, false);
        if (entry != null && entry.getEntryType() == EntryType.ROWDATA) {
          rows += rowsOf(entry);
        }
      }
    }
    return rows;
  }

  /** The count that Canal puts beside the serialised change: parsing that again is the client's work. */
  private static long rowsOf(Entry entry) {
    for (Pair pair : entry.getHeader().getPropsList()) {
      if (pair.getKey().equals("rowsCount")) {
        return Long.parseLong(pair.getValue());
      }
    }
    return 0;
  }
}
