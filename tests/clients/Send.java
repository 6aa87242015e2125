import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Sends the tries on stdin with HttpURLConnection, and prints the answer to each. */
final class Send {
    private static final byte[] PIECE = new byte[65_536];
    private static final int LONGEST = 10_000;
    private static final Pattern CODE = Pattern.compile("\"code\":\\s*\"([^\"]*)\"");

    public static void main(String[] arguments) throws IOException {
        var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            System.out.println(answerTo(line.split("\t")));
        }
    }

    private static String answerTo(String[] words) {
        try {
            var connection = (HttpURLConnection) URI.create(words[0]).toURL().openConnection();
            connection.setReadTimeout(LONGEST);
            connection.setRequestMethod("POST");
            connection.setDoOutput(true);
            for (int field = 3; field < words.length; field++) {
                String[] header = words[field].split(": ");
                connection.setRequestProperty(header[0], header[1]);
            }
            int size = Integer.parseInt(words[1]);
            if (words[2].equals("chunked")) {
                connection.setChunkedStreamingMode(PIECE.length);
            } else {
                connection.setFixedLengthStreamingMode(size);
            }
            try (OutputStream body = connection.getOutputStream()) {
                for (int left = size; left > 0; left -= PIECE.length) {
                    body.write(PIECE, 0, Math.min(left, PIECE.length));
                }
            }
            int status = connection.getResponseCode();
            var problem = new String(connection.getErrorStream().readAllBytes(), StandardCharsets.UTF_8);
            Matcher code = CODE.matcher(problem);
            return status + " " + (code.find() ? code.group(1) : problem.lines().findFirst().orElse(""));
        } catch (IOException error) {
            return error.toString();
        }
    }
}
