// Standing: whether an edition may answer, by what is known of its publisher's will. A pure function.

/** Why it may not; null: it may. `known` is what the device remembers, `now` in milliseconds. */
export function stopped({ name, version }, { disabled, checked, first }, grace_s, now) {
  if (disabled[version] !== undefined) return `version ${version} of '${name}' was withdrawn: ${disabled[version]}`;
  const since_s = (now - Math.max(checked, first)) / 1000;
  if (grace_s === null || since_s <= grace_s) return null;
  return `'${name}' may answer for ${days(grace_s)} without news from its publisher, and had none for ${days(since_s)}: connect once`;
}

function days(seconds) {
  return `${Math.round(seconds / 8640) / 10} days`;
}
