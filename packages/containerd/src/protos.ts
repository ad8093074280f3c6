// The .proto files, parsed once per process. Knows which files there are; knows nothing of connections.
import { loadSync, type MessageTypeDefinition, type ServiceDefinition, type MethodDefinition } from '@grpc/proto-loader';
import { fileURLToPath } from 'node:url';

const FILES = [
  'containers.proto', 'content.proto', 'diff.proto', 'events.proto', 'images.proto', 'introspection.proto', 'leases.proto',
  'namespaces.proto', 'snapshots.proto', 'tasks.proto', 'task-events.proto', 'runc-options.proto', 'version.proto', 'metrics-v1.proto', 'metrics-v2.proto',
];

/** How a method is called; the functions are made once by proto-loader, so that a call does no reflection. */
export type Method = MethodDefinition<object, object>;
/** How a message that travels inside an Any is encoded. */
export type MessageCodec = MessageTypeDefinition<object, object>;

type Loaded = { methods: ReadonlyMap<string, Method>; messages: ReadonlyMap<string, MessageCodec> };
let loaded: Loaded | undefined;

function load(): Loaded {
  const definition = loadSync(FILES, {
    includeDirs: [fileURLToPath(new URL('../proto', import.meta.url))],
    keepCase: false, longs: Number, enums: String, defaults: true, objects: true, arrays: true,
  });
  const methods = new Map<string, Method>();
  const messages = new Map<string, MessageCodec>();
  for (const [name, item] of Object.entries(definition)) {
    if ('format' in item) {
      if ('serialize' in item) messages.set(name, item as MessageCodec);
      continue;
    }
    for (const method of Object.values(item as ServiceDefinition)) methods.set(method.path.slice(1), method as Method);
  }
  return { methods, messages };
}

/** `name` is `package.Service/Method`. Throws if no .proto file has it: that is a programmer's error. */
export function method(name: string): Method {
  loaded ??= load();
  const found = loaded.methods.get(name);
  if (found === undefined) throw new TypeError(`no such method in the .proto files: ${name}`);
  return found;
}

/** The codec of a message by its full name, or undefined where our .proto files do not have it. */
export function message(name: string): MessageCodec | undefined {
  loaded ??= load();
  return loaded.messages.get(name);
}
