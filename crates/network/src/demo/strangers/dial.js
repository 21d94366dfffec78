// Dials a gRPC server with Node's own TLS and HTTP/2 and prints one JSON object: how it ended.
// The argument is {host, port, ca, cert, key}: `ca` is absent for plaintext, `cert` and `key` for a client without a
// certificate; all three are names of files.
const [fs, http2, net, tls] = ['fs', 'http2', 'net', 'tls'].map(require);
const { host, port, ca, cert, key } = JSON.parse(process.argv[1]);
const read = (file) => file && fs.readFileSync(file);
const socket = ca
  ? tls.connect({ host, port, ca: read(ca), cert: read(cert), key: read(key), ALPNProtocols: ['h2'] })
  : net.connect({ host, port });
const end = (accepted, code, message) => {
  console.log(JSON.stringify({ accepted, code, message }));
  process.exit(0);
};
const failed = (error) => end(false, error.code || error.name, (error.reason || error.message).replace(/[:\s]+$/, ''));
socket.on('error', failed);
// The session learns later than its socket what the last bytes meant.
socket.on('close', () =>
  setTimeout(() => end(false, 'CLOSED', 'the server closed the connection before it spoke HTTP/2'), 100)
);
setTimeout(() => end(false, 'SILENCE', 'the server accepted the connection and said nothing'), 10000);
const session = http2.connect(`${ca ? 'https' : 'http'}://${host}:${port}`, { createConnection: () => socket });
session.on('remoteSettings', () => end(true, 'ACCEPTED', 'the server let this client in'));
session.on('error', failed);
