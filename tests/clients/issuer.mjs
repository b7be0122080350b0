// A real OpenID Connect issuer for the tests, on oidc-provider: client credentials in, JWT access tokens out.
//
//   node issuer.mjs PORT KEYS_FILE
//
// The keys are made when the file is absent: without it a restart is a rotation. Beside the provider it answers
//   POST /forge   {head, claims, key}: a token of exactly these texts, signed with the issuer's own key
//   GET  /counts  how often its keys were fetched
// The environment's OIDC_PROVIDER names the folder of the package.
import { createServer } from 'node:http';
import { constants, createPrivateKey, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const [port, keysFile] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(`${process.env.OIDC_PROVIDER}/lib/index.js`));

function newKeys() {
  const made = [
    ['RS256', generateKeyPairSync('rsa', { modulusLength: 2048 })],
    ['PS256', generateKeyPairSync('rsa', { modulusLength: 2048 })],
    ['ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' })],
    ['EdDSA', generateKeyPairSync('ed25519')],
  ];
  return made.map(([alg, { privateKey }]) => ({
    ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: randomUUID(),
  }));
}

if (!existsSync(keysFile)) writeFileSync(keysFile, JSON.stringify(newKeys()));
const keys = JSON.parse(readFileSync(keysFile, 'utf8'));

// Who may come, and what the issuer says of each. The name's end is the algorithm of its tokens.
const groups = {
  'packer-RS256': ['depot-publishers', 'staff'],
  'packer-PS256': ['depot-publishers'],
  'packer-ES256': ['depot-publishers'],
  'packer-EdDSA': ['depot-publishers'],
  'office-RS256': ['depot-office'],
  'stranger-RS256': ['kitchen'],
};

const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: { keys },
  clients: Object.keys(groups).map((client_id) => ({
    client_id, client_secret: 'no secret at all', grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
  })),
  enabledJWA: { idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA'] },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      // The resource is the audience.
      getResourceServerInfo: (_, resource, client) => ({
        scope: '',
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 600,
        jwt: { sign: { alg: client.clientId.split('-').pop() } },
      }),
    },
  },
  extraTokenClaims: (_, token) => ({ depot: { groups: groups[token.clientId] } }),
});

function forge({ head, claims, key }) {
  const jwk = keys.find(({ alg }) => alg === key);
  const withKid = head.replace('KID', jwk.kid);
  const message = [withKid, claims].map((text) => Buffer.from(text).toString('base64url')).join('.');
  const options = { key: createPrivateKey({ key: jwk, format: 'jwk' }) };
  if (key === 'PS256') Object.assign(options, { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 });
  if (key === 'ES256') options.dsaEncoding = 'ieee-p1363';
  const signature = sign(key === 'EdDSA' ? null : 'sha256', message, options);
  return `${message}.${signature.toString('base64url')}`;
}

let fetched = 0;
createServer(async (request, response) => {
  if (request.url === '/forge') {
    let body = '';
    for await (const piece of request) body += piece;
    response.end(forge(JSON.parse(body)));
  } else if (request.url === '/counts') {
    response.end(JSON.stringify({ fetched }));
  } else {
    if (request.url === '/jwks') fetched += 1;
    provider.callback()(request, response);
  }
}).listen(port, '127.0.0.1');
