// Distance: how far a row lies from the training data, by Mahalanobis or by an isolation forest, as packing fitted them.

const FARTHEST = 3.4028234663852886e38;

/** The distance of a row, of a forest its score between 0 and 1; `column` gives a column's value in the row. */
export function distance({ scales, whitening, trees }, column) {
  const row = scales.map((scale) => standing(scale, column(scale.name)));
  if (trees) return score(trees, row.map(Math.fround));
  const far = Math.sqrt(whitening.reduce((sum, weights) => sum + weights.reduce((own, weight, at) => own + weight * row[at], 0) ** 2, 0));
  return Number.isNaN(far) ? Infinity : Math.min(far, Number.MAX_VALUE);
}

/** A value in standard deviations from its column's mean; a missing one stands there. */
function standing({ mean, std, bits, strange, text }, value) {
  const scaled = (numberOf(value, bits, strange, text) - mean) / std;
  return Number.isNaN(scaled) ? 0 : Math.min(Math.max(scaled, -FARTHEST), FARTHEST);
}

/** A text tells its length, a category how surprising it is. */
function numberOf(value, bits, strange, text) {
  if (value === null) return NaN;
  if (typeof value !== "string") return Number(value);
  if (text) return [...value].length;
  return Object.hasOwn(bits, value) ? bits[value] : strange;
}

/** How soon random cuts set the row apart. A leaf leads to itself. */
function score({ roots, feature, threshold, left, right, depth, expected }, row) {
  const depths = roots.map((root) => {
    let node = root;
    while (left[node] !== node) node = row[feature[node]] <= Math.fround(threshold[node]) ? left[node] : right[node];
    return depth[node];
  });
  return 2 ** (-depths.reduce((sum, each) => sum + each, 0) / depths.length / expected);
}
