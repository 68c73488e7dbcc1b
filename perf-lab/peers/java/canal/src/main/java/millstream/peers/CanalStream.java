package millstream.peers;

import com.alibaba.otter.canal.client.CanalConnector;
import com.alibaba.otter.canal.client.CanalConnectors;
import com.alibaba.otter.canal.common.AbstractCanalLifeCycle;
import com.alibaba.otter.canal.common.alarm.CanalAlarmHandler;
import com.alibaba.otter.canal.filter.aviater.AviaterRegexFilter;
import com.alibaba.otter.canal.instance.core.CanalInstance;
import com.alibaba.otter.canal.instance.spring.CanalInstanceWithSpring;
import com.alibaba.otter.canal.meta.FileMixedMetaManager;
import com.alibaba.otter.canal.parse.ha.HeartBeatHAController;
import com.alibaba.otter.canal.parse.inbound.mysql.MysqlEventParser;
import com.alibaba.otter.canal.parse.index.FailbackLogPositionManager;
import com.alibaba.otter.canal.parse.index.MemoryLogPositionManager;
import com.alibaba.otter.canal.parse.index.MetaLogPositionManager;
import com.alibaba.otter.canal.parse.support.AuthenticationInfo;
import com.alibaba.otter.canal.protocol.CanalEntry.Column;
import com.alibaba.otter.canal.protocol.CanalEntry.Entry;
import com.alibaba.otter.canal.protocol.CanalEntry.EventType;
import com.alibaba.otter.canal.protocol.CanalEntry.RowChange;
import com.alibaba.otter.canal.protocol.CanalEntry.RowData;
import com.alibaba.otter.canal.protocol.Message;
import com.alibaba.otter.canal.protocol.position.EntryPosition;
import com.alibaba.otter.canal.server.embedded.CanalServerWithEmbedded;
import com.alibaba.otter.canal.server.netty.CanalServerWithNetty;
import com.alibaba.otter.canal.sink.entry.EntryEventSink;
import com.alibaba.otter.canal.store.memory.MemoryEventStoreWithBuffer;
import com.alibaba.otter.canal.store.model.BatchMode;
import java.io.File;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.util.List;

/** Server and client as a deployment has them, by Canal's own defaults (its canal.properties and file instance). */
final class CanalStream {
  private CanalStream() {}

  static final int STORE_SLOTS = 16384;
  static final int STORE_UNIT_BYTES = 1024;
  static final int PARSER_RING = 256;
  static final int BATCH = 1000;

  private static final String DESTINATION = "lab";

  static void run(Options options) throws Exception {
    File cursors = Files.createTempDirectory("canal-peer").toFile();
    Tally tally = new Tally(options, () -> remove(cursors));
    try {
      follow(options, tally, cursors);
    } finally {
      remove(cursors);
    }
  }

  /** Never returns: the tally ends the program. */
  private static void follow(Options options, Tally tally, File cursors) throws Exception {
    MysqlEventParser parser = parser(options);
    CanalServerWithEmbedded embedded = CanalServerWithEmbedded.instance();
    embedded.setCanalInstanceGenerator(destination -> instance(parser, cursors));
    embedded.setMetricsPort(0);
    embedded.start();
    int port = freePort();
    CanalServerWithNetty server = CanalServerWithNetty.instance();
    server.setIp("127.0.0.1");
    server.setPort(port);
    server.start();
    embedded.start(DESTINATION);
    reportReady(parser);

    CanalConnector client =
        CanalConnectors.newSingleConnector(new InetSocketAddress("127.0.0.1", port), DESTINATION, "", "");
    client.connect();
    client.subscribe(filterOf(options));
    long idleSleepMs = idleSleepMs(options);
    while (true) {
      Message message = client.getWithoutAck(BATCH);
      if (message.getId() == -1 || message.getEntries().isEmpty()) {
        Thread.sleep(idleSleepMs);
        continue;
      }
      consume(message.getEntries(), tally);
      client.ack(message.getId());
    }
  }

  /** Canal's examples sleep a second where nothing is there; its latency would be that second. 0: ask again at once. */
  static long idleSleepMs(Options options) {
    return options.number("idle-sleep-ms", 1);
  }

  /** What a consumer does: each row change parsed, each row's columns in hand. */
  private static void consume(List<Entry> entries, Tally tally) throws IOException {
    for (Entry entry : entries) {
      switch (entry.getEntryType()) {
        case ROWDATA -> {
          RowChange change = RowChange.parseFrom(entry.getStoreValue());
          if (change.getIsDdl()) {
            continue;
          }
          for (RowData row : change.getRowDatasList()) {
            List<Column> columns =
                change.getEventType() == EventType.DELETE ? row.getBeforeColumnsList() : row.getAfterColumnsList();
            if (!columns.isEmpty()) {
              tally.touch(columns.get(0).getValue());
            }
          }
          tally.rows(change.getRowDatasCount());
        }
        case TRANSACTIONEND -> tally.transactionEnd();
        default -> { }
      }
    }
  }

  private static String filterOf(Options options) {
    return options.text("database", "lab") + "\\..*";
  }

  private static MysqlEventParser parser(Options options) {
    MysqlEventParser parser = new MysqlEventParser();
    parser.setDestination(DESTINATION);
    parser.setSlaveId(options.number("server-id", 4242));
    parser.setMasterInfo(new AuthenticationInfo(
        new InetSocketAddress(options.text("host", "127.0.0.1"), (int) options.number("port", 3306)),
        options.text("user"), options.text("password"), ""));
    parser.setMasterPosition(new EntryPosition(options.text("file"), options.number("position", 4)));
    parser.setEventFilter(new AviaterRegexFilter(filterOf(options)));
    parser.setEventBlackFilter(new AviaterRegexFilter("mysql\\.slave_.*", false));
    parser.setDetectingEnable(false);
    parser.setDetectingIntervalInSeconds(3);
    parser.setDetectingSQL("select 1");
    parser.setTransactionSize(1024);
    parser.setReceiveBufferSize(16384);
    parser.setSendBufferSize(16384);
    parser.setDefaultConnectionTimeoutInSeconds(30);
    parser.setConnectionCharset("UTF-8");
    parser.setFallbackIntervalInSeconds(60);
    parser.setSupportBinlogFormats("ROW,STATEMENT,MIXED");
    parser.setSupportBinlogImages("FULL,MINIMAL,NOBLOB");
    parser.setUseDruidDdlFilter(true);
    parser.setEnableTsdb(false); // its H2 set-up comes with the deployer, which is no package; rows do not pass it
    parser.setIsGTIDMode(false);
    parser.setParallel(true);
    parser.setParallelBufferSize(PARSER_RING);
    return parser;
  }

  private static CanalInstance instance(MysqlEventParser parser, File cursors) {
    FileMixedMetaManager meta = new FileMixedMetaManager();
    meta.setDataDirByFile(cursors);
    meta.setPeriod(1000);

    MemoryEventStoreWithBuffer store = new MemoryEventStoreWithBuffer();
    store.setBufferSize(STORE_SLOTS);
    store.setBufferMemUnit(STORE_UNIT_BYTES);
    store.setBatchMode(BatchMode.MEMSIZE);
    store.setDdlIsolation(false);
    store.setRaw(true);

    EntryEventSink sink = new EntryEventSink();
    sink.setEventStore(store);
    sink.setFilterTransactionEntry(false);

    HeartBeatHAController ha = new HeartBeatHAController();
    ha.setDetectingRetryTimes(3);
    ha.setSwitchEnable(false);

    Alarm alarm = new Alarm(cursors);
    parser.setEventSink(sink);
    parser.setHaController(ha);
    parser.setAlarmHandler(alarm);
    parser.setLogPositionManager(
        new FailbackLogPositionManager(new MemoryLogPositionManager(), new MetaLogPositionManager(meta)));

    CanalInstanceWithSpring instance = new CanalInstanceWithSpring();
    instance.setDestination(DESTINATION);
    instance.setEventParser(parser);
    instance.setEventSink(sink);
    instance.setEventStore(store);
    instance.setMetaManager(meta);
    instance.setAlarmHandler(alarm);
    return instance;
  }

  /** Canal tries again for ever; in a measurement the first alarm is the end. */
  private static final class Alarm extends AbstractCanalLifeCycle implements CanalAlarmHandler {
    private final File cursors;

    Alarm(File cursors) {
      this.cursors = cursors;
    }

    @Override
    public void sendAlarm(String destination, String message) {
      StringBuilder reason = new StringBuilder("canal");
      for (String line : message.split("\n")) {
        if (!line.startsWith("\tat ") && !line.startsWith("\t...")) {
          reason.append(": ").append(line.trim());
        }
      }
      remove(cursors);
      Report.fail(reason.toString());
    }
  }

  /** The server answers a dump with an event at once, and the parser counts bytes: the first mean that it was requested. */
  private static void reportReady(MysqlEventParser parser) {
    Thread watch = new Thread(() -> {
      try {
        while (parser.getReceivedBinlogBytes().get() == 0) {
          Thread.sleep(1);
        }
        Report.line("event", "ready");
      } catch (InterruptedException ended) {
        Thread.currentThread().interrupt();
      }
    }, "ready");
    watch.setDaemon(true);
    watch.start();
  }

  private static int freePort() throws IOException {
    try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      return socket.getLocalPort();
    }
  }

  private static void remove(File file) {
    File[] inside = file.listFiles();
    if (inside != null) {
      for (File entry : inside) {
        remove(entry);
      }
    }
    file.delete();
  }
}
