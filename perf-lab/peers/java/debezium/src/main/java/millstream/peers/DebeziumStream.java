package millstream.peers;

import io.debezium.embedded.Connect;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.RecordChangeEvent;
import io.debezium.engine.format.ChangeEventFormat;
import java.lang.management.ManagementFactory;
import java.util.List;
import java.util.Properties;
import java.util.logging.Level;
import java.util.logging.Logger;
import javax.management.JMException;
import javax.management.MBeanServer;
import javax.management.ObjectName;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.source.SourceRecord;

/** The embedded engine from an offset that is there before it starts. */
final class DebeziumStream {
  private DebeziumStream() {}

  static final String NAME = "peer";
  static final String TOPIC_PREFIX = "lab";

  static void run(Options options) throws Exception {
    Tally tally = new Tally(options, () -> { });
    Logger.getLogger("").setLevel(Level.WARNING); // the binlog client's own log
    SeededOffsets.seed(
        NAME, TOPIC_PREFIX, options.text("file"), options.number("position", 4), StartGtids.of(options));
    DebeziumEngine<RecordChangeEvent<SourceRecord>> engine =
        DebeziumEngine.create(ChangeEventFormat.of(Connect.class))
            .using(properties(options))
            .using((success, message, error) -> ended(message, error))
            .notifying(new Consumer(tally))
            .build();
    reportReady();
    engine.run();
  }

  static long pollIntervalMs(Options options) {
    return options.number("poll-interval-ms", 500);
  }

  private static Properties properties(Options options) {
    Properties properties = new Properties();
    properties.setProperty("name", NAME);
    properties.setProperty("connector.class", "io.debezium.connector.mysql.MySqlConnector");
    properties.setProperty("topic.prefix", TOPIC_PREFIX);
    properties.setProperty("offset.storage", SeededOffsets.class.getName());
    properties.setProperty("schema.history.internal", "io.debezium.relational.history.MemorySchemaHistory");
    // An offset without a history is what this mode is for: it reads the tables' shapes and goes on from the offset.
    properties.setProperty("snapshot.mode", "recovery");
    properties.setProperty("snapshot.locking.mode", "none");
    properties.setProperty("database.hostname", options.text("host", "127.0.0.1"));
    properties.setProperty("database.port", options.text("port", "3306"));
    properties.setProperty("database.user", options.text("user"));
    properties.setProperty("database.password", options.text("password"));
    properties.setProperty("database.server.id", options.text("server-id", "4242"));
    properties.setProperty("database.include.list", options.text("database", "lab"));
    properties.setProperty("database.ssl.mode", "disabled");
    properties.setProperty("driver.allowPublicKeyRetrieval", "true");
    properties.setProperty("max.batch.size", "2048");
    properties.setProperty("max.queue.size", "8192");
    properties.setProperty("poll.interval.ms", Long.toString(pollIntervalMs(options)));
    return properties;
  }

  private static void ended(String message, Throwable error) {
    if (error != null) {
      Report.fail(error);
    }
    Report.fail("the engine ended: " + message);
  }

  /** The connector says in its metrics when it is connected, which it is once the dump was requested. */
  private static void reportReady() {
    Thread watch = new Thread(() -> {
      try {
        MBeanServer beans = ManagementFactory.getPlatformMBeanServer();
        ObjectName streaming =
            new ObjectName("debezium.mysql:type=connector-metrics,context=streaming,server=" + TOPIC_PREFIX);
        while (!beans.isRegistered(streaming) || !(Boolean) beans.getAttribute(streaming, "Connected")) {
          Thread.sleep(2);
        }
        Report.line("event", "ready");
      } catch (JMException noMetric) {
        Report.line("event", "ready");
      } catch (InterruptedException stopped) {
        Thread.currentThread().interrupt();
      }
    }, "ready");
    watch.setDaemon(true);
    watch.start();
  }

  /** Counts records that are rows: those of op c, u and d. Tombstones and schema changes are not. */
  private static final class Consumer implements DebeziumEngine.ChangeConsumer<RecordChangeEvent<SourceRecord>> {
    private final Tally tally;
    // Transactions' ends are not in the stream by default (provide.transaction.metadata). All records of a transaction have the
    // offset of its begin, so that one ends where the next offset comes.
    private Object position;

    Consumer(Tally tally) {
      this.tally = tally;
    }

    @Override
    public void handleBatch(
        List<RecordChangeEvent<SourceRecord>> batch,
        DebeziumEngine.RecordCommitter<RecordChangeEvent<SourceRecord>> committer)
        throws InterruptedException {
      for (RecordChangeEvent<SourceRecord> event : batch) {
        consume(event.record());
        committer.markProcessed(event);
      }
      committer.markBatchFinished();
    }

    private void consume(SourceRecord record) {
      if (!(record.value() instanceof Struct change) || change.schema().field("op") == null) {
        return;
      }
      String op = change.getString("op");
      if (!op.equals("c") && !op.equals("u") && !op.equals("d")) {
        return;
      }
      Object begin = record.sourceOffset().get("pos");
      if (!begin.equals(position)) {
        tally.transactionEnd();
        position = begin;
      }
      Struct row = change.getStruct(op.equals("d") ? "before" : "after");
      List<Field> columns = row.schema().fields();
      if (!columns.isEmpty()) {
        tally.touch(row.get(columns.get(0)));
      }
      tally.rows(1);
    }
  }
}
