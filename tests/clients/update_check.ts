// What a dashboard does with the types that openapi-typescript makes of the API's description: asks
// for updates, makes an image. Only type-checked, never run.
import type { components, paths } from "./imagedepot";

type ImageToCreate = paths["/api/v1/images"]["post"]["requestBody"]["content"]["application/json"];
type Check = paths["/api/v1/update-check"]["get"];
type Question = NonNullable<Check["parameters"]["query"]>;
type UpdateAnswer = Check["responses"][200]["content"]["application/json"];
type Problem = Check["responses"][404]["content"]["application/problem+json"];

const image: ImageToCreate = { name: "win7-office", kind: "medv" };

export async function createImage(server: string): Promise<number> {
  const response = await fetch(`${server}/api/v1/images`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(image),
  });
  return response.status;
}

/** The addresses of the files to fetch; empty when there is nothing new. */
export async function filesToFetch(server: string, client: string): Promise<string[]> {
  const query = { image: image.name, channel: "production", client } satisfies Question;
  const parameters = new URLSearchParams(query);
  const response = await fetch(`${server}/api/v1/update-check?${parameters}`);
  if (!response.ok) {
    const problem: Problem = await response.json();
    throw new Error(`${problem.code}: ${problem.detail} (${problem.request_id})`);
  }
  const answer: UpdateAnswer = await response.json();
  if (answer.action !== "update" || answer.target == null) {
    return [];
  }
  return answer.target.files.map((file) => `${server}${file.url}`);
}

export type Schemas = keyof components["schemas"];
