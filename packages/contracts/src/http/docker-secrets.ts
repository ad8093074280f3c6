// Docker's HTTP shapes of secrets, and the one that Docker has no word for: sealing again. No shape of an answer has room for a secret's bytes.
import { Type, type Static } from 'typebox';

const Labels = Type.Record(Type.String({ maxLength: 256 }), Type.String({ maxLength: 4_096 }), { maxProperties: 64 });

export const DockerSecretsQuery = Type.Object({ filters: Type.Optional(Type.String({ maxLength: 65_536, description: 'JSON: id, name, label' })) });

/** `POST /secrets/create` */
export const DockerSecretBody = Type.Object({
  Name: Type.String({ minLength: 1, maxLength: 256 }),
  Data: Type.Optional(Type.String({ maxLength: 400_000, description: 'base64' })),
  Labels: Type.Optional(Labels),
  Driver: Type.Optional(Type.Object({}, { additionalProperties: true })),
  Templating: Type.Optional(Type.Object({}, { additionalProperties: true })),
});
export type DockerSecretBody = Static<typeof DockerSecretBody>;
export const DockerSecretMade = Type.Object({ ID: Type.String() });

export const DockerSecret = Type.Object({
  ID: Type.String(), Version: Type.Object({ Index: Type.Integer() }), CreatedAt: Type.String(), UpdatedAt: Type.String(),
  Spec: Type.Object({ Name: Type.String(), Labels: Type.Record(Type.String(), Type.String()) }),
});
export type DockerSecret = Static<typeof DockerSecret>;

/** `POST /cluster/secrets/reseal` */
export const SecretsSealedAgain = Type.Object({ sealedAgain: Type.Integer(), keyId: Type.String() });
export type SecretsSealedAgain = Static<typeof SecretsSealedAgain>;
