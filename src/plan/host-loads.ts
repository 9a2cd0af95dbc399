/** How unlike the hosts of a pool are: the normal distribution, and the lognormal one of their loads. */

/** Figures that stand for a distribution: the middles of so many equal parts. */
const PARTS = 64;

/** The inverse of the standard normal distribution (Acklam), to nine digits for 1e-9 < p < 1 - 1e-9. */
export function normalQuantile(p: number): number {
  if (p > 0.5) return -normalQuantile(1 - p);
  if (p < 0.024_25) {
    const q = Math.sqrt(-2 * Math.log(p));
    return (
      polynomial(
        q,
        [
          -7.784894002430293e-3, -0.3223964580411365, -2.400758277161838, -2.549732539343734,
          4.374664141464968, 2.938163982698783,
        ],
      ) / polynomial(q, [7.784695709041462e-3, 0.3224671290700398, 2.445134137142996, 3.754408661907416, 1])
    );
  }
  const q = p - 0.5;
  const r = q * q;
  return (
    (q *
      polynomial(
        r,
        [
          -39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716,
          2.506628277459239,
        ],
      )) /
    polynomial(
      r,
      [-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572, 1],
    )
  );
}

/**
 * Loads of hosts, of equal weight, whose mean is 1 and whose standard deviation is this: few are large
 * (lognormal). With a spread of 0 all are the same.
 */
export function hostLoads(spread: number): readonly number[] {
  if (spread === 0) return [1];
  const sigma = Math.sqrt(Math.log(1 + spread * spread));
  const loads = Array.from({ length: PARTS }, (_, at) =>
    Math.exp(sigma * normalQuantile((at + 0.5) / PARTS)),
  );
  const mean = loads.reduce((sum, each) => sum + each, 0) / PARTS;
  return loads.map((each) => each / mean);
}

function polynomial(x: number, coefficients: readonly number[]): number {
  return coefficients.reduce((sum, each) => sum * x + each, 0);
}
