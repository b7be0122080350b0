import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Path;
import java.util.Base64;

/** Java's own two clients: arguments are the server's URL, a name and password, a path to PUT to, and a file. */
public class HttpClients {
    public static void main(String[] arguments) throws Exception {
        String url = arguments[0];
        String authorization =
                "Basic " + Base64.getEncoder().encodeToString(arguments[1].getBytes("UTF-8"));
        HttpClient client = HttpClient.newHttpClient();
        HttpRequest alive = HttpRequest.newBuilder(URI.create(url + "/livez")).build();
        for (int count = 0; count < 100; count++) {
            must(200, client.send(alive, BodyHandlers.ofString()));
        }
        HttpRequest.Builder put = HttpRequest.newBuilder(URI.create(url + arguments[2]))
                .header("Authorization", authorization)
                .PUT(BodyPublishers.ofFile(Path.of(arguments[3])));
        must(201, client.send(put.build(), BodyHandlers.ofString()));
        must(200, client.send(put.expectContinue(true).build(), BodyHandlers.ofString()));
        for (int count = 0; count < 20; count++) {
            HttpURLConnection older = (HttpURLConnection) URI.create(url + "/livez").toURL().openConnection();
            if (older.getResponseCode() != 200) {
                throw new IllegalStateException("HttpURLConnection: " + older.getResponseCode());
            }
            older.getInputStream().readAllBytes();
        }
        System.out.println("all answered");
    }

    private static void must(int status, HttpResponse<String> response) {
        if (response.statusCode() != status) {
            throw new IllegalStateException(response.statusCode() + " " + response.body());
        }
    }
}
