// Client.java: what an application does over HTTPS, by Java's own client. Runs as a source file: java Client.java ARGUMENTS.
// Arguments: port, file of the CA, file of the identity (PKCS #12, password "password").
import java.io.ByteArrayInputStream;
import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.WebSocket;
import java.nio.ByteBuffer;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.cert.CertificateFactory;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class Client {
	static String origin;

	static void check(boolean good, String what) {
		if (!good)
			throw new AssertionError(what);
	}

	static String sha256(byte[] data) throws Exception {
		StringBuilder out = new StringBuilder();
		for (byte b : MessageDigest.getInstance("SHA-256").digest(data))
			out.append(String.format("%02x", b));
		return out.toString();
	}

	static SSLContext context(String caFile, String identityFile) throws Exception {
		KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
		trusted.load(null, null);
		trusted.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(new FileInputStream(caFile)));
		TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
		trust.init(trusted);
		KeyManagerFactory keys = null;
		if (identityFile != null) {
			KeyStore mine = KeyStore.getInstance("PKCS12");
			mine.load(new FileInputStream(identityFile), "password".toCharArray());
			keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
			keys.init(mine, "password".toCharArray());
		}
		SSLContext out = SSLContext.getInstance("TLS");
		out.init(keys == null ? null : keys.getKeyManagers(), trust.getTrustManagers(), null);
		return out;
	}

	static HttpClient client(SSLContext context) {
		return HttpClient.newBuilder().sslContext(context).build(); // of its own accord it offers HTTP/2 too
	}

	static HttpRequest.Builder to(String path) {
		return HttpRequest.newBuilder(URI.create(origin + path));
	}

	static String get(HttpClient c, String path) throws Exception {
		HttpResponse<String> got = c.send(to(path).build(), BodyHandlers.ofString());
		check(got.statusCode() == 200 && got.version() == HttpClient.Version.HTTP_1_1, path + ": " + got);
		return got.body();
	}

	static void bodies(HttpClient c) throws Exception {
		byte[] big = c.send(to("/big").build(), BodyHandlers.ofByteArray()).body();
		HttpResponse<Void> head = c.send(to("/big").method("HEAD", BodyPublishers.noBody()).build(), BodyHandlers.discarding());
		check(sha256(big).equals(head.headers().firstValue("x-sha256").get()), "the big answer");
		byte[] body = new byte[300000];
		new Random(1).nextBytes(body);
		HttpRequest post = to("/echo").POST(BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body))).build();
		String echo = c.send(post, BodyHandlers.ofString()).body();
		check(echo.equals("chunked " + sha256(body)), echo);
	}

	static void events(HttpClient c) throws Exception {
		int[] n = { 0 };
		c.send(to("/events").build(), BodyHandlers.ofLines()).body().filter(line -> !line.isEmpty()).forEach(line -> {
			check(line.equals("data: " + n[0]), line);
			try { // the next waits for our word
				get(c, "/seen/" + n[0]++);
			} catch (Exception e) {
				throw new RuntimeException(e);
			}
		});
		check(n[0] == 5, n[0] + " events");
	}

	static class Listener implements WebSocket.Listener {
		final LinkedBlockingQueue<String> heard = new LinkedBlockingQueue<>();
		final CompletableFuture<String> closed = new CompletableFuture<>();
		final StringBuilder text = new StringBuilder();
		int binary;

		public CompletionStage<?> onText(WebSocket ws, CharSequence data, boolean last) {
			text.append(data);
			if (last) {
				heard.add(text.toString());
				text.setLength(0);
			}
			ws.request(1);
			return null;
		}

		public CompletionStage<?> onBinary(WebSocket ws, ByteBuffer data, boolean last) {
			binary += data.remaining();
			if (last)
				heard.add("binary " + binary);
			ws.request(1);
			return null;
		}

		public CompletionStage<?> onPong(WebSocket ws, ByteBuffer data) {
			heard.add("pong");
			ws.request(1);
			return null;
		}

		public CompletionStage<?> onClose(WebSocket ws, int code, String reason) {
			closed.complete(code + " " + reason);
			return null;
		}

		String next() throws Exception {
			return heard.poll(20, TimeUnit.SECONDS);
		}
	}

	static void webSocket(HttpClient c) throws Exception {
		Listener l = new Listener();
		WebSocket ws = c.newWebSocketBuilder().buildAsync(URI.create(origin.replace("https", "wss") + "/chat"), l).get(20, TimeUnit.SECONDS);
		ws.sendText("hello ", false).get();
		ws.sendText("there", true).get();
		check("hello there".equals(l.next()), "a text in two fragments");
		ws.sendBinary(ByteBuffer.allocate(3 << 20), true).get();
		check("binary 3145728".equals(l.next()), "a large message");
		ws.sendPing(ByteBuffer.wrap(new byte[] { 1 })).get();
		check("pong".equals(l.next()), "a pong");
		ws.sendText("close 4001", true).get();
		String closed = l.closed.get(20, TimeUnit.SECONDS);
		check(closed.equals("4001 as asked"), closed);
	}

	public static void main(String[] arguments) throws Exception {
		origin = "https://localhost:" + arguments[0];
		SSLContext context = context(arguments[1], null);
		HttpClient c = client(context);
		for (int n = 0; n < 3; n++)
			check(get(c, "/kept/" + n).equals("ok"), "kept");
		bodies(c);
		get(client(context), "/resumed"); // another connection, the same store of sessions
		events(c);
		webSocket(c);
		check(get(client(context(arguments[1], arguments[2])), "/mine").contains("CN=someone"), "whose certificate");
		System.out.println("good");
		System.exit(0);
	}
}
