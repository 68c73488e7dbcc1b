package millstream.peers;

import io.debezium.connector.mysql.Module;

/** A peer's harness: Debezium's embedded engine, MySQL connector. Commands: version, stream, decode; the peers' README has the flags. */
public final class DebeziumPeer {
  private DebeziumPeer() {}

  public static void main(String[] args) {
    try {
      String command = args.length == 0 ? "help" : args[0];
      switch (command) {
        case "version" -> Report.line(
            "name", "debezium", "version", Module.version(), "settings", settings(new Options(args)),
            "decoder", "mysql-binlog-connector-java", "decoder_version", decoderVersion());
        case "stream" -> DebeziumStream.run(new Options(args));
        case "decode" -> BinlogConnectorDecode.run(new Options(args));
        default -> Report.fail("no command '" + command + "': version, stream or decode");
      }
    } catch (Throwable error) {
      Report.fail(error);
    }
  }

  private static String decoderVersion() {
    String jar = com.github.shyiko.mysql.binlog.BinaryLogFileReader.class
        .getProtectionDomain().getCodeSource().getLocation().getPath();
    return jar.replaceAll(".*-connector-java-(.*)\\.jar", "$1");
  }

  private static String settings(Options options) {
    return "embedded engine (async), ChangeConsumer, Connect records (not serialised); snapshot.mode=recovery "
        + "(tables' shapes, no data), memory schema history; batch 2048, queue 8192, poll.interval.ms="
        + DebeziumStream.pollIntervalMs(options) + ", otherwise defaults; JVM " + Runtime.version().feature()
        + ", default flags";
  }
}
