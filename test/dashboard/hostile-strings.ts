/** Names, destinations and reasons of those who would like to be executed. */
export const HOSTILE_STRINGS = [
  `<script>noteForbidden("script")</script>`,
  `<img src=x onerror=noteForbidden("img")>`,
  `"><svg onload=noteForbidden("svg")>`,
  `javascript:noteForbidden("url")`,
  `' autofocus onfocus='noteForbidden("attribute")`,
  `</title></textarea></style><iframe srcdoc="<script>parent.noteForbidden(1)</script>">`,
  "{{constructor.constructor('noteForbidden(2)')()}}${noteForbidden(3)}",
  "__proto__",
  "\u202Egnp.exe\u0000\u001B[31m\u2028\uD800",
  `#/pools/x?y=%00&z=%C0%AF${"A".repeat(3_000)}`,
] as const;
