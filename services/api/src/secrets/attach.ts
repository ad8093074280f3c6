// Which secrets a container asks for, by its labels `io.pouch.secret.NAME`. Labels of the image do not count: its maker is not who may give secrets away.
import type { DockerCreateBody } from '@pouch/contracts';
import { isMachine, secretId, secretLabel, type ContainerSpec, type SecretMount } from '@pouch/domain';
import { badField } from '../errors.ts';
import type { Projection } from '../projection/projection.ts';

const maxSecrets = 32;
const maxId = 2 ** 32 - 2;

/** Throws an HttpError that names the label. Empty where none is asked for. */
export function askedSecrets(body: Pick<DockerCreateBody, 'Labels'>, spec: ContainerSpec, projection: Projection): readonly SecretMount[] {
  const asked = Object.entries(body.Labels ?? {}).filter(([label]) => label.startsWith(secretLabel));
  if (asked.length > maxSecrets) throw badField('Labels', `a container has at most ${maxSecrets} secrets`);
  const mounts = asked.map(([label, text]) => mountOf(label, text, spec, projection));
  const twice = mounts.find(({ target }, index) => mounts.findIndex((other) => other.target === target) !== index);
  if (twice !== undefined) throw badField('Labels', `two secrets are to be the file ${twice.target}`);
  return mounts;
}

function mountOf(label: string, text: string, spec: ContainerSpec, projection: Projection): SecretMount {
  const field = `Labels.${label.slice(0, 100)}`;
  const name = label.slice(secretLabel.length);
  const secret = projection.present.record('secret', secretId(name))?.state;
  if (secret?.name !== name) throw badField(field, `there is no secret ${JSON.stringify(name.slice(0, 80))}`);
  const mount = { name, generation: secret.generation, target: name, uid: 0, gid: 0, mode: 0o444 };
  for (const part of text.split(',').map((one) => one.trim()).filter((one) => one !== '')) {
    const at = part.indexOf('=');
    const [key, value] = [part.slice(0, Math.max(at, 0)), part.slice(at + 1)];
    if (key === 'target' && /^(?:\/run\/secrets\/)?[A-Za-z0-9_.-]{1,128}$/.test(value) && !/(?:^|\/)\.\.?$/.test(value)) mount.target = value.replace('/run/secrets/', '');
    else if ((key === 'uid' || key === 'gid') && /^\d{1,10}$/.test(value) && Number(value) <= maxId) mount[key] = Number(value);
    else if (key === 'mode' && /^0?[0-7]{3}$/.test(value)) mount.mode = Number.parseInt(value, 8);
    else throw badField(field, `${JSON.stringify(part.slice(0, 80))} must be target=FILE (in /run/secrets), uid=N, gid=N or mode=0440`);
  }
  if (isMachine(spec) && (mount.uid !== 0 || mount.gid !== 0)) throw badField(field, "a virtual machine's secrets belong to its root; give them a mode instead of uid and gid");
  return mount;
}
