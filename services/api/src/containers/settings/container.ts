// Settings of the container itself, the members of Docker's `Config`: command, environment, user, streams, labels.
import { posix } from 'node:path';
import { readPlacementRules } from '@pouch/domain';
import { badField, HttpError } from '../../errors.ts';
import { signalName } from '../signals.ts';
import { dockerHealthcheck, mergedHealthCheck } from './health.ts';
import { exposedPort } from './network.ts';
import { config, words, type Setting } from './table.ts';

const hostnameForm = /^[a-zA-Z0-9](?:[a-zA-Z0-9_.-]{0,62}[a-zA-Z0-9])?$/;

export const containerSettings: readonly Setting[] = [
  // Entrypoint stands before Cmd: giving an entrypoint takes the image's command away, unless there is a command too.
  config('Entrypoint', (draft, value) => {
    const given = words(value);
    const cleared = given.length === 1 && given[0] === '';
    if (given.length > 0) draft.cmd = [];
    draft.entrypoint = cleared ? [] : given;
  }, (spec) => (spec.entrypoint.length === 0 ? null : spec.entrypoint)),
  config('Cmd', (draft, value) => {
    if (value.length > 0) draft.cmd = words(value);
  }, (spec) => spec.cmd),
  config('Env', (draft, value, { field }) => {
    const read = readPlacementRules(value, {});
    if (!read.ok) throw new HttpError(400, read.problem);
    draft.env = mergedEnv(draft.env, read.value.env, field);
  }, (spec) => spec.env),
  config('WorkingDir', (draft, value, { field }) => {
    if (value === '') return;
    if (!value.startsWith('/')) throw badField(field, `the working directory '${value}' is invalid, it needs to be an absolute path`);
    draft.workingDir = posix.normalize(value);
  }, (spec) => spec.workingDir),
  config('User', (draft, value, { field }) => {
    if (value === '') return;
    if (/[\s]/.test(value) || value.split(':').length > 2) throw badField(field, `${JSON.stringify(value)} is not user[:group]`);
    draft.user = value;
  }, (spec) => spec.user),
  config('Hostname', (draft, value, { field }) => {
    if (value === '') return;
    if (!hostnameForm.test(value)) throw badField(field, `${JSON.stringify(value)} is not a host name of up to 64 letters, digits, dots and hyphens`);
    draft.hostname = value;
  }, (spec) => spec.hostname),
  config('Domainname', (draft, value, { field }) => {
    if (value !== '' && !hostnameForm.test(value)) throw badField(field, `${JSON.stringify(value)} is not a domain name of up to 64 letters, digits, dots and hyphens`);
    draft.domainname = value;
  }, (spec) => spec.domainname),
  config('Labels', (draft, value) => {
    draft.labels = { ...draft.labels, ...value };
  }, (spec) => spec.labels),
  config('Tty', (draft, value) => { draft.tty = value; }, (spec) => spec.tty),
  config('OpenStdin', (draft, value) => { draft.openStdin = value; }, (spec) => spec.openStdin),
  config('StdinOnce', (draft, value) => { draft.stdinOnce = value; }, (spec) => spec.stdinOnce),
  config('AttachStdin', (draft, value) => { draft.attach = { ...draft.attach, stdin: value }; }, (spec) => spec.attach.stdin),
  config('AttachStdout', (draft, value) => { draft.attach = { ...draft.attach, stdout: value }; }, (spec) => spec.attach.stdout),
  config('AttachStderr', (draft, value) => { draft.attach = { ...draft.attach, stderr: value }; }, (spec) => spec.attach.stderr),
  config('StopSignal', (draft, value, { field }) => {
    if (value === '') return;
    const name = signalName(value);
    if (name === null) throw badField(field, `invalid signal: ${value}`);
    draft.stopSignal = name;
  }, (spec) => spec.stopSignal),
  config('StopTimeout', (draft, value) => { draft.stopTimeoutSeconds = value; }, (spec) => spec.stopTimeoutSeconds),
  config('ExposedPorts', (draft, value, { field }) => {
    draft.exposedPorts = [...new Set([...draft.exposedPorts, ...Object.keys(value).map((port) => exposedPort(port, field))])];
  }, (spec) => Object.fromEntries(spec.exposedPorts.map((port) => [port, {}]))),
  config('Healthcheck', (draft, value, { field, warn }) => {
    const merged = mergedHealthCheck(draft.healthCheck, value, field);
    if (merged === null) warn('The health check is discarded: neither Healthcheck.Test nor the image says what to run');
    else draft.healthCheck = merged;
  }, ({ healthCheck }) => (healthCheck === undefined ? undefined : dockerHealthcheck(healthCheck))),
];

/** Docker's merge: a name given again replaces the value where it stood; a name without `=` is taken out. */
export function mergedEnv(image: readonly string[], given: readonly string[], field: string): readonly string[] {
  const merged = new Map(image.map((entry) => [nameOf(entry), entry]));
  for (const [index, entry] of given.entries()) {
    const name = nameOf(entry);
    if (name === '') throw badField(`${field}[${index}]`, `invalid environment variable: ${entry}`);
    if (entry.includes('=')) merged.set(name, entry);
    else merged.delete(name);
  }
  return [...merged.values()];
}

function nameOf(entry: string): string {
  const equals = entry.indexOf('=');
  return equals < 0 ? entry : entry.slice(0, equals);
}

/** Nothing to run. */
export const noCommand = () => new HttpError(400, 'no command specified: neither Cmd nor Entrypoint is given, and the image has none');
