package millstream.peers;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * What the consuming client has in its hands. One thread tells it of rows and of transactions' ends; when all rows have come it
 * reports and ends the program.
 */
public final class Tally {
  private final long rowsWanted;
  private final long progressRows;
  private final String stampFile;
  private final long[] stamps; // null: none wanted
  private final Runnable cleanup;
  private volatile long rows;
  private long transactions;
  private boolean open;
  private long lastRowNs;
  private long touched;

  /**
   * Takes --rows, --transactions, --stamps, --timeout-s and --progress, and starts to wait for the timeout and for SIGTERM.
   *
   * @param cleanup removes what the peer left on disk; nothing else is stopped in order
   */
  public Tally(Options options, Runnable cleanup) {
    this.cleanup = cleanup;
    rowsWanted = options.number("rows", 0);
    progressRows = options.number("progress", 0);
    stampFile = options.optional("stamps");
    stamps = stampFile == null ? null : new long[(int) Math.max(options.number("transactions", 1), 1)];
    long timeoutS = options.number("timeout-s", 0);
    if (timeoutS > 0) {
      Thread timer = new Thread(() -> timeOutAfter(timeoutS), "timeout");
      timer.setDaemon(true);
      timer.start();
    }
    Runtime.getRuntime().addShutdownHook(new Thread(this::stopped, "stopped"));
  }

  /** Keeps a read value alive. */
  public void touch(Object value) {
    touched += value == null ? 1 : value.hashCode();
  }

  /** Some more rows of the open transaction have come; an update is one. */
  public void rows(int count) {
    if (count == 0) {
      return;
    }
    long before = rows;
    long after = before + count;
    rows = after;
    open = true;
    if (before == 0) {
      Report.line("event", "first_row", "ns", System.nanoTime());
    }
    if (stamps != null) {
      lastRowNs = System.nanoTime();
    }
    if (progressRows > 0 && before / progressRows != after / progressRows) {
      Report.line("event", "progress", "rows", after, "ns", System.nanoTime());
    }
    if (rowsWanted > 0 && after >= rowsWanted) {
      finish(System.nanoTime());
    }
  }

  /** The open transaction's end has come. One without rows does not count. */
  public void transactionEnd() {
    if (!open) {
      return;
    }
    open = false;
    if (stamps != null && transactions < stamps.length) {
      stamps[(int) transactions] = lastRowNs;
    }
    transactions++;
  }

  private void finish(long ns) {
    transactionEnd(); // its commit follows and is not waited for
    try {
      if (stamps != null) {
        int count = (int) Math.min(transactions, stamps.length);
        ByteBuffer bytes = ByteBuffer.allocate(8 * count).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asLongBuffer().put(stamps, 0, count);
        Files.write(Path.of(stampFile), bytes.array());
      }
    } catch (IOException error) {
      cleanup.run();
      Report.fail(error);
    }
    Report.line(
        "event", "done", "rows", rows, "transactions", transactions, "ns", ns, "max_rss_kib", Report.maxRssKib());
    cleanup.run();
    Runtime.getRuntime().halt(0);
  }

  private void timeOutAfter(long seconds) {
    try {
      Thread.sleep(seconds * 1000);
    } catch (InterruptedException ended) {
      return;
    }
    Report.line("event", "timeout", "rows", rows);
    cleanup.run();
    Runtime.getRuntime().halt(Report.TIMED_OUT);
  }

  private void stopped() {
    Report.line("event", "stopped", "rows", rows, "max_rss_kib", Report.maxRssKib());
    cleanup.run();
    Runtime.getRuntime().halt(0);
  }
}
