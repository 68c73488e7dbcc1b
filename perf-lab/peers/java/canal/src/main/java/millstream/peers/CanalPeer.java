package millstream.peers;

/** A peer's harness: Alibaba Canal. Commands: version, stream, decode; the peers' README has the flags. */
public final class CanalPeer {
  private CanalPeer() {}

  public static void main(String[] args) {
    try {
      String command = args.length == 0 ? "help" : args[0];
      switch (command) {
        case "version" -> Report.line("name", "canal", "version", version(), "settings", settings(new Options(args)));
        case "stream" -> CanalStream.run(new Options(args));
        case "decode" -> CanalDecode.run(new Options(args));
        default -> Report.fail("no command '" + command + "': version, stream or decode");
      }
    } catch (Throwable error) {
      Report.fail(error);
    }
  }

  private static String version() {
    String jar = com.alibaba.otter.canal.server.CanalServer.class
        .getProtectionDomain().getCodeSource().getLocation().getPath();
    return jar.replaceAll(".*canal\\.server-(.*)\\.jar", "$1");
  }

  private static String settings(Options options) {
    return "server (Netty, embedded) and client over loopback TCP in one JVM; memory store "
        + CanalStream.STORE_SLOTS + " x " + CanalStream.STORE_UNIT_BYTES + " B, raw entries; parallel parser, ring "
        + CanalStream.PARSER_RING + ", threads 60% of cores; file meta manager; tsdb off; get " + CanalStream.BATCH
        + " without timeout, " + CanalStream.idleSleepMs(options) + " ms sleep when empty; JVM " + Runtime.version().feature()
        + " " + String.join(" ", java.lang.management.ManagementFactory.getRuntimeMXBean().getInputArguments());
  }
}
