<?php
// Prints a token for the user in SUB, signed with SECRET. No library.
function mint(string $secret, string $user, array $rights): string
{
    $b64 = fn (string $bytes) => rtrim(strtr(base64_encode($bytes), '+/', '-_'), '=');
    $claims = ['sub' => $user, 'exp' => time() + 3600, 'bellwire' => $rights];
    $message = $b64('{"alg":"HS256","typ":"JWT"}') . '.' . $b64(json_encode($claims));
    return $message . '.' . $b64(hash_hmac('sha256', $message, $secret, true));
}

echo mint(getenv('SECRET'), getenv('SUB'), ['subscribe' => ['room:*']]), "\n";
