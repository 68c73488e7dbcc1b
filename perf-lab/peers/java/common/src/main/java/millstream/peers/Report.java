package millstream.peers;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** The lines that the laboratory reads, and the ways to end. System.nanoTime() is CLOCK_MONOTONIC on Linux. */
public final class Report {
  private Report() {}

  public static final int FAILED = 1;
  public static final int TIMED_OUT = 3;

  /** One JSON object as a line: names and values in turn; numbers stay numbers. */
  public static synchronized void line(Object... pairs) {
    StringBuilder json = new StringBuilder("{");
    for (int i = 0; i < pairs.length; i += 2) {
      json.append(i == 0 ? "\"" : ",\"").append(pairs[i]).append("\":");
      if (pairs[i + 1] instanceof Number) {
        json.append(pairs[i + 1]);
      } else {
        json.append('"').append(pairs[i + 1].toString().replace("\\", "\\\\").replace("\"", "\\\"")).append('"');
      }
    }
    System.out.println(json.append('}'));
    System.out.flush();
  }

  /** Says why in one line and ends the program. Hooks of the peers that would wait for threads are not run. */
  public static void fail(String reason) {
    System.err.println(reason.replaceAll("\\s*\\n\\s*", " | "));
    System.err.flush();
    Runtime.getRuntime().halt(FAILED);
  }

  /** As {@link #fail(String)}, with the messages of a throwable and its causes. */
  public static void fail(Throwable error) {
    StringBuilder reason = new StringBuilder();
    for (Throwable at = error; at != null; at = at.getCause()) {
      reason.append(reason.length() == 0 ? "" : ": ").append(at);
    }
    fail(reason.toString());
  }

  /** This program's high-water mark of resident memory, KiB; 0 where it is not known. */
  public static long maxRssKib() {
    try {
      for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
        if (line.startsWith("VmHWM:")) {
          return Long.parseLong(line.replaceAll("[^0-9]", ""));
        }
      }
    } catch (IOException unknown) {
      return 0;
    }
    return 0;
  }
}
