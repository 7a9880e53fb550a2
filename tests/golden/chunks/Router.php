<?php

declare(strict_types=1);

namespace Example\Http;

use InvalidArgumentException;

interface Handler
{
    public function handle(array $request): string;
}

final class Router
{
    /** @var array<string, Handler> */
    private array $routes = [];

    public function __construct(private readonly string $prefix = '')
    {
    }

    #[\Deprecated]
    public function add(string $path, Handler $handler): self
    {
        if (isset($this->routes[$path])) {
            throw new InvalidArgumentException("{$path} is taken");
        }
        $this->routes[$this->prefix . $path] = $handler;
        return $this;
    }

    public function dispatch(string $path, array $request): string
    {
        $handler = $this->routes[$path] ?? null;
        return $handler === null ? 'not found' : $handler->handle($request);
    }
}

function router(): Router
{
    return new Router('/v1');
}
