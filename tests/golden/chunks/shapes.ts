import type { Point } from './point';

export interface Shape {
  readonly kind: string;
  area(): number;
}

export type Maybe<T> = T | undefined;

enum Colour {
  Red = 'red',
  Green = 'green',
}

function sealed(target: Function): void {
  Object.seal(target);
}

@sealed
export class Circle implements Shape {
  readonly kind = 'circle';

  constructor(private readonly centre: Point, private readonly radius: number) {}

  area(): number {
    return Math.PI * this.radius ** 2;
  }

  /** Whether `point` lies inside. */
  contains(point: Point): boolean {
    const dx = point.x - this.centre.x;
    const dy = point.y - this.centre.y;
    return dx * dx + dy * dy <= this.radius * this.radius;
  }
}

namespace Shapes {
  export function largest(shapes: readonly Shape[]): Maybe<Shape> {
    let best: Maybe<Shape>;
    for (const shape of shapes) {
      if (best === undefined || shape.area() > best.area()) {
        best = shape;
      }
    }
    return best;
  }
}
