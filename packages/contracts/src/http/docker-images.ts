// Docker's shapes of images: query members that each call takes and what it answers. Schemas and their types only.
import { Type, type Static } from 'typebox';

const Opt = Type.Optional;
const Text = (description: string, maxLength = 65_536) => Opt(Type.String({ description, maxLength }));
const Bool = (description: string) => Opt(Type.Boolean({ description }));
const Filters = Text('Filters as JSON: {"key":["value"]}');

/** `name`: a name, `name@digest`, an image id or an unambiguous beginning of one; slashes need not be escaped. */
export const DockerImageParams = Type.Object({ name: Type.String({ minLength: 1, maxLength: 1_024 }) });
export const DockerImageListQuery = Type.Object({ all: Bool('Has no effect: there are no intermediate images'), digests: Bool('Has no effect: digests are always told'), 'shared-size': Bool('Has no effect: SharedSize is -1'), filters: Filters });
export const DockerImageCreateQuery = Type.Object({
  fromImage: Text('Image to pull', 1_024),
  fromSrc: Text('Import of a file system: not there yet'),
  repo: Text('Of an import'),
  tag: Text('Tag or digest; latest', 256),
  message: Text('Of an import'),
  platform: Text('os/arch[/variant]', 256),
});
export const DockerImageLoadQuery = Type.Object({ quiet: Bool('No progress') });
export const DockerImageTagQuery = Type.Object({ repo: Type.String({ maxLength: 1_024, description: 'Repository of the new name' }), tag: Text('Tag of the new name; latest', 256) });
export const DockerImageRemoveQuery = Type.Object({ force: Bool('Also when a container that does not run stands on it, or it has several names'), noprune: Bool('Has no effect: there are no untagged parents') });
export const DockerImagePruneQuery = Type.Object({ filters: Filters });

const Texts = Type.Array(Type.String());
export const DockerImageItem = Type.Object({
  Id: Type.String(),
  ParentId: Type.String(),
  RepoTags: Texts,
  RepoDigests: Texts,
  /** Unix seconds. */
  Created: Type.Integer(),
  Size: Type.Integer(),
  SharedSize: Type.Integer(),
  VirtualSize: Type.Integer(),
  Labels: Type.Record(Type.String(), Type.String()),
  Containers: Type.Integer(),
});
export type DockerImageItem = Static<typeof DockerImageItem>;

export const DockerImageHistory = Type.Array(Type.Object({
  Id: Type.String(), Created: Type.Integer(), CreatedBy: Type.String(), Tags: Type.Union([Texts, Type.Null()]), Size: Type.Integer(), Comment: Type.String(),
}));
export type DockerImageHistory = Static<typeof DockerImageHistory>;

export const DockerImageRemoved = Type.Array(Type.Object({ Untagged: Opt(Type.String()), Deleted: Opt(Type.String()) }));
export type DockerImageRemoved = Static<typeof DockerImageRemoved>;

export const DockerImagesPruned = Type.Object({ ImagesDeleted: Type.Union([DockerImageRemoved, Type.Null()]), SpaceReclaimed: Type.Integer() });
export type DockerImagesPruned = Static<typeof DockerImagesPruned>;
