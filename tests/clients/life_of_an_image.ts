// Leads an image through its life with the client that hey-api makes for TypeScript (@hey-api/client-fetch).
//
// Arguments: the server's address, a user's name and password, the .ckm file, the .ckm.index file.
import { readFileSync } from "node:fs";
import { client } from "./imagedepot/client.gen";
import * as depot from "./imagedepot/sdk.gen";

const image = "win7-office";
const [server, user, password, ckm, index] = process.argv.slice(2) as [string, string, string, string, string];

function check(holds: unknown, found: unknown): asserts holds {
  if (!holds) {
    throw new Error(JSON.stringify(found));
  }
}

function read(path: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(path));
}

async function upload(): Promise<number> {
  const refused = await depot.getImage({ path: { image } });
  check(refused.error?.code === "image_not_found", refused.error);

  await depot.createImage({ body: { name: image, kind: "medv" }, throwOnError: true });
  const page = await depot.listImages({ query: { limit: 10 }, throwOnError: true });
  check(page.data.items[0]?.name === image, page.data);
  const draft = await depot.createRevision({ path: { image }, throwOnError: true });
  const revision = draft.data.number;

  const bytes = read(ckm);
  const path = { image, revision, role: "ckm" } as const;
  const file = await depot.putFile({ path, body: new Blob([bytes]), throwOnError: true });
  check(file.data.size === bytes.length, file.data);
  await uploadInParts(revision, read(index));
  const sealed = await depot.sealRevision({ path: { image, revision }, throwOnError: true });
  check(sealed.data.state === "ready", sealed.data);
  return revision;
}

async function uploadInParts(revision: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  const half = Math.floor(bytes.length / 2);
  const announced = { image, revision, role: "index", size: bytes.length } as const;
  const begun = await depot.createUpload({ body: announced, throwOnError: true });
  check("received" in begun.data, begun.data);
  const path = { upload: begun.data.id };
  await depot.appendToUpload({
    path,
    headers: { "Upload-Offset": 0, "Upload-Complete": "?0" },
    body: new Blob([bytes.subarray(0, half)]),
    throwOnError: true,
  });
  const upload = await depot.getUpload({ path, throwOnError: true });
  check(upload.data.received === half, upload.data);
  const file = await depot.appendToUpload({
    path,
    headers: { "Upload-Offset": half, "Upload-Complete": "?1" },
    body: new Blob([bytes.subarray(half)]),
    throwOnError: true,
  });
  check(typeof file.data === "object" && file.data.size === bytes.length, file.data);
}

async function askForUpdates(revision: number): Promise<void> {
  // A client machine has no credentials.
  const query = { image, channel: "production", client: "pc-1" };
  const told = await depot.checkForUpdate({ query, auth: undefined, throwOnError: true });
  check(told.data.action === "update" && told.data.target?.revision === revision, told.data);
  const answers = await depot.checkForUpdates({ body: [{ image }, { image: "none" }], throwOnError: true });
  check(answers.data.items[0]?.action === "update" && !answers.data.items[0].problem, answers.data);
  check(answers.data.items[1]?.problem?.code === "image_not_found", answers.data);
}

async function main(): Promise<void> {
  // Given as a text, it would be sent as a token, too.
  const auth = (way: { scheme?: string }) => (way.scheme === "basic" ? `${user}:${password}` : undefined);
  client.setConfig({ baseUrl: server, auth });
  const revision = await upload();
  const path = { image, channel: "production" };
  await depot.promote({ path, body: { revision }, throwOnError: true });
  const assigned = await depot.getAssignment({ path, throwOnError: true });
  check(assigned.data.revision === revision, assigned.data);
  await askForUpdates(revision);
  for (const [role, sent] of [["ckm", ckm], ["index", index]] as const) {
    const fetched = await depot.getFile({ path: { image, revision, role }, parseAs: "blob", throwOnError: true });
    const bytes = Buffer.from(await (fetched.data as Blob).arrayBuffer());
    check(bytes.equals(read(sent)), "other bytes than were uploaded");
  }
  console.log(`${image} ${revision} is published`);
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
