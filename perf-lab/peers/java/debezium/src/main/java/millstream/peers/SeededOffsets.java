package millstream.peers;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.connect.storage.MemoryOffsetBackingStore;

/** Offsets in memory that begin with one. The engine makes it by its class's name, so that one is handed over statically. */
public final class SeededOffsets extends MemoryOffsetBackingStore {
  private static volatile ByteBuffer seedKey;
  private static volatile ByteBuffer seedValue;

  /** The next store begins with this place. Keys and values are what the engine's JSON converter writes without schemas. */
  static void seed(String engine, String topicPrefix, String file, long position, String gtids) {
    seedKey = bytes("[\"" + engine + "\",{\"server\":\"" + topicPrefix + "\"}]");
    seedValue = bytes("{\"file\":\"" + file + "\",\"pos\":" + position
        + (gtids.isEmpty() ? "" : ",\"gtids\":\"" + gtids + "\"") + "}");
  }

  private static ByteBuffer bytes(String text) {
    return ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
  }

  @Override
  public synchronized void start() {
    super.start();
    data.put(seedKey, seedValue);
  }

  @Override
  public Set<Map<String, Object>> connectorPartitions(String connector) {
    return Set.of();
  }
}
