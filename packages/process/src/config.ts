// Configuration from the environment: parsed once by a schema, frozen, and refused with every mistake named at once.
import type { Static, TObject } from 'typebox';
import { Clean, Convert, Default, Errors } from 'typebox/value';

export class ConfigError extends Error {
  readonly code = 'bad-configuration';
}

/**
 * Reads the members of `schema` from `env`. Texts are converted to the schema's types, defaults are filled in, empty texts count as absent.
 * Throws a `ConfigError` that lists every bad variable with what is right.
 */
export function parseConfig<T extends TObject>(schema: T, env: Readonly<Record<string, string | undefined>>): Readonly<Static<T>> {
  const asked = Object.fromEntries(Object.keys(schema.properties).map((name) => [name, env[name]]).filter(([, value]) => value !== undefined && value !== ''));
  const value = Convert(schema, Default(schema, Clean(schema, asked)));
  const errors = [...Errors(schema, value)];
  if (errors.length > 0) {
    const lines = errors.map((error) => `  ${nameOf(error)}: ${choices(schema, nameOf(error)) ?? error.message}${described(schema, nameOf(error))}`);
    throw new ConfigError(`bad configuration:\n${[...new Set(lines)].join('\n')}`);
  }
  return Object.freeze(value as Static<T>);
}

function nameOf(error: { instancePath: string; params?: unknown }): string {
  const missing = (error.params as { requiredProperties?: string[] } | undefined)?.requiredProperties;
  return error.instancePath.slice(1) || (missing ?? []).join(', ');
}

/** For a variable that is one of some words: which. */
function choices(schema: TObject, name: string): string | null {
  const options = (schema.properties[name] as { anyOf?: readonly { const?: unknown }[] } | undefined)?.anyOf ?? [];
  const words = options.flatMap((option) => (option.const === undefined ? [] : [String(option.const)]));
  return words.length === 0 ? null : `must be one of ${words.join(', ')}`;
}

function described(schema: TObject, name: string): string {
  const description = (schema.properties[name] as { description?: string } | undefined)?.description;
  return description === undefined ? '' : ` (${description})`;
}

/** The configuration that a service starts with; a bad one ends the process with its message and exit code 78 (EX_CONFIG): starting again does not help. */
export function configurationOr78<T>(service: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`pouch-${service}: ${error.message}\n`);
    process.exit(78);
  }
}
