package millstream.peers;

import com.github.shyiko.mysql.binlog.GtidSet;
import java.io.IOException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;

/**
 * The GTIDs before a file position. Where the server's gtid_mode is ON, Debezium asks for a set and not for a position; with any other
 * mode the position of the offset counts.
 */
final class StartGtids {
  private StartGtids() {}

  /** {@code --gtids}, or what the server's log says of {@code --file} and {@code --position}; empty where none are needed. */
  static String of(Options options) throws SQLException, IOException {
    if (options.optional("gtids") != null) {
      return options.text("gtids");
    }
    Properties login = new Properties();
    login.setProperty("user", options.text("user"));
    login.setProperty("password", options.text("password"));
    login.setProperty("sslMode", "DISABLED");
    login.setProperty("allowPublicKeyRetrieval", "true");
    String url = "jdbc:mysql://" + options.text("host", "127.0.0.1") + ":" + options.text("port", "3306") + "/";
    try (Connection connection = DriverManager.getConnection(url, login);
        Statement statement = connection.createStatement()) {
      try (ResultSet mode = statement.executeQuery("SELECT @@GLOBAL.gtid_mode")) {
        if (!mode.next() || !mode.getString(1).equals("ON")) {
          return "";
        }
      }
      String gtids = before(statement, options.text("file"), options.number("position", 4));
      if (gtids.isEmpty()) {
        // Its binlog client fails on an empty set: "this.gtidSet" is null.
        throw new IOException("no GTID is before " + options.text("file") + ":" + options.number("position", 4)
            + ", and Debezium cannot begin with an empty set; SET GLOBAL gtid_mode=ON_PERMISSIVE lets it use the position");
      }
      return gtids;
    }
  }

  private static String before(Statement statement, String file, long position) throws SQLException {
    GtidSet gtids = new GtidSet("");
    statement.setFetchSize(Integer.MIN_VALUE); // row by row: a file has many events
    try (ResultSet events = statement.executeQuery("SHOW BINLOG EVENTS IN '" + file + "'")) {
      while (events.next() && events.getLong("Pos") < position) {
        String type = events.getString("Event_type");
        String info = events.getString("Info");
        if (type.equals("Previous_gtids") && !info.isBlank()) {
          gtids = new GtidSet(info.replaceAll("\\s", ""));
        } else if (type.equals("Gtid")) {
          gtids.add(info.replaceAll(".*'([^']*)'.*", "$1"));
        }
      }
      statement.cancel();
    }
    return gtids.toString();
  }
}
