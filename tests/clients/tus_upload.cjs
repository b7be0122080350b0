// Uploads a file with tus-js-client, over a line that may break.
//
// Arguments: the server's address, a user's name and password, image, revision, role, the file, and options
// of the library as JSON. TUS_JS_CLIENT names the library's folder.
const fs = require("node:fs");
const { PassThrough } = require("node:stream");
const tus = require(process.env.TUS_JS_CLIENT);

const [server, user, password, image, revision, role, path, options] = process.argv.slice(2);
const login = Buffer.from(`${user}:${password}`).toString("base64");
const draft = JSON.parse(options).protocol !== undefined;
// The IETF's draft has no metadata: it names the target in the query.
const target = draft ? `?image=${image}&revision=${revision}&role=${role}` : "";
// With a file the library says of no piece but a whole one that it is the last, which the draft needs.
// Of unknown length, it says so of nothing but a stream that is no file.
const deferred = JSON.parse(options).uploadLengthDeferred === true;
const stream = deferred ? fs.createReadStream(path).pipe(new PassThrough()) : fs.createReadStream(path);
const input = draft ? fs.readFileSync(path) : stream;
let retries = 0;

const upload = new tus.Upload(input, {
  endpoint: `${server}/api/v1/uploads${target}`,
  headers: { Authorization: `Basic ${login}` },
  metadata: draft ? {} : { image, revision, role, filename: "ein Bild für alle.ckm" },
  uploadSize: fs.statSync(path).size,
  retryDelays: Array(30).fill(50),
  onShouldRetry: () => {
    retries += 1;
    return true;
  },
  onError: (error) => {
    console.error(String(error));
    process.exit(1);
  },
  onSuccess: () => console.log(`${retries} retries, at ${upload.url}`),
  ...JSON.parse(options),
});
upload.start();
