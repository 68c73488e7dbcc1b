package millstream.peers;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** The loop around a decoder of whole binlog files, which are in memory before the clock starts. */
public final class DecodeRuns {
  private DecodeRuns() {}

  /** Decodes one iteration's files. */
  public interface Decoder {
    /** All files' rows, touched and counted. */
    long decode(List<byte[]> files) throws Exception;
  }

  /** Takes --rows, --iterations and the files. */
  public static void run(Options options, Decoder decoder) throws Exception {
    if (options.files.isEmpty()) {
      throw new IllegalArgumentException("decode: no files");
    }
    List<byte[]> files = new ArrayList<>();
    long bytes = 0;
    for (String name : options.files) {
      byte[] content = Files.readAllBytes(Path.of(name));
      if (content.length < 4 || content[0] != (byte) 0xfe || content[1] != 'b') {
        throw new IOException(name + ": not a binlog file");
      }
      files.add(content);
      bytes += content.length;
    }
    long rowsWanted = options.number("rows", 0);
    for (long i = options.number("iterations", 1); i > 0; i--) {
      long start = System.nanoTime();
      long rows = decoder.decode(files);
      long ns = System.nanoTime() - start;
      Report.line("event", "decode", "rows", rows, "bytes", bytes, "ns", ns);
      if (rowsWanted > 0 && rows != rowsWanted) {
        throw new IOException("decode: " + rows + " rows where " + rowsWanted + " were expected");
      }
    }
  }
}
