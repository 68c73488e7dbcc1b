package millstream.peers;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** {@code --name value} pairs, then files. */
public final class Options {
  private final Map<String, String> values = new HashMap<>();
  public final List<String> files = new ArrayList<>();

  /** Reads everything after the command. */
  public Options(String[] args) {
    for (int i = 1; i < args.length; i++) {
      if (!args[i].startsWith("--")) {
        files.add(args[i]);
      } else if (i + 1 == args.length) {
        throw new IllegalArgumentException(args[i] + " has no value");
      } else {
        values.put(args[i].substring(2), args[++i]);
      }
    }
  }

  /** The value, or null. */
  public String optional(String name) {
    return values.get(name);
  }

  public String text(String name, String otherwise) {
    return values.getOrDefault(name, otherwise);
  }

  public String text(String name) {
    String value = values.get(name);
    if (value == null) {
      throw new IllegalArgumentException("--" + name + " is missing");
    }
    return value;
  }

  public long number(String name, long otherwise) {
    String value = values.get(name);
    return value == null ? otherwise : Long.parseLong(value);
  }
}
