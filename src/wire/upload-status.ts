/**
 * The status of an upload, as a gateway answers that was asked for it by name. [GW24]
 *
 * `100 Continue` says the same on the upload's own connection, but not to the edge, whose runtime
 * shows no interim answers.
 */

/**
 * - `ready`: the destination is connected, so the host will not refuse it any more.
 * - `ended`: it has been answered, or given up.
 * - `unknown`: it has not come, or not got so far, for longer than anybody should wait for it.
 */
export type UploadStatus = "ready" | "ended" | "unknown";

/** What names an upload: chosen at random by its sender, so that nobody else can ask for it. */
export const UPLOAD_NAME = /^[\w-]{16,64}$/;
