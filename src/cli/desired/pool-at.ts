/** A pool that may not be there. */
import type { AnswerOf, EdgeApi } from "../../api/edge-api.ts";
import { EdgeRefusal } from "../../api/errors.ts";

/** The pool of this name; null if there is none. */
export async function poolAt(api: EdgeApi, pool: string): Promise<AnswerOf<"getPool"> | null> {
  try {
    return await api.getPool({ pool });
  } catch (fault) {
    if (fault instanceof EdgeRefusal && fault.code === "pool-unknown") return null;
    throw fault;
  }
}
