# Prints a token for the user in SUB, signed with SECRET. Standard library only.
require "base64"
require "json"
require "openssl"

def mint(secret, user, **rights)
  b64 = ->(bytes) { Base64.urlsafe_encode64(bytes, padding: false) }
  claims = { sub: user, exp: Time.now.to_i + 3600, bellwire: rights }
  message = b64.('{"alg":"HS256","typ":"JWT"}') + "." + b64.(JSON.generate(claims))
  message + "." + b64.(OpenSSL::HMAC.digest("SHA256", secret, message))
end

puts mint(ENV.fetch("SECRET"), ENV.fetch("SUB").dup.force_encoding("UTF-8"), subscribe: ["room:*"])
